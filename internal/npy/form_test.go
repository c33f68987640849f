package npy

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// numpysForm is what cutForm takes apart.
var numpysForm = regexp.MustCompile(
	`^\{'descr': ('[^'{}:]*'|\[\([^{}:]*\)\]), 'fortran_order': (True|False), 'shape': \(((?:-?\d+, ?)*(?:-?\d+)?)\), \} *\n$`)

func assertForm(t *testing.T, description string) (ok bool) {
	t.Helper()
	descr, fortran, shape, ok := cutForm(description)
	match := numpysForm.FindStringSubmatch(description)
	assert.Equal(t, match != nil, ok, "%q", description)
	if ok && match != nil {
		assert.Equal(t, match[1:], []string{descr, fortran, shape}, "%q", description)
	}
	return ok
}

// Descriptions of NumPy's form are found to be such, others are not: some with a byte more, less or another.
func TestForm(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	bytes := "{}[]()'\":, -019aTF\n\t"
	right := 0
	for _, description := range []string{
		"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n",
		"{'descr': '|u1', 'fortran_order': True, 'shape': (-1,), }\n",
		"{'descr': '', 'fortran_order': False, 'shape': (), }\n",
		"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,2,3), } \n",
		"{'descr': [()], 'fortran_order': False, 'shape': (10, 20,), }\n",
	} {
		require.True(t, assertForm(t, description))
		for range 3000 {
			d := []byte(description)
			for range 1 + random.IntN(2) {
				i, b := random.IntN(len(d)), bytes[random.IntN(len(bytes))]
				switch random.IntN(3) {
				case 0:
					d[i] = b
				case 1:
					d = append(d[:i], d[i+1:]...)
				case 2:
					d = append(d[:i:i], append([]byte{b}, d[i:]...)...)
				}
			}
			if assertForm(t, string(d)) {
				right++
			}
		}
	}
	assert.Greater(t, right, 150)
}

// Arrays in memory are those in the file.
func TestFromBytes(t *testing.T) {
	for descr, data := range map[string]string{
		"<f4": "\x00\x00\x80\x3f\x00\x00\x00\xc0", ">f4": "\x3f\x80\x00\x00\xc0\x00\x00\x00", "<f2": "\x00\x3c\x00\xc0",
		"<f8": "\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\xc0",
		">f8": "\x3f\xf0\x00\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x00",
	} {
		description := "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (2,), }\n"
		raw := []byte(Magic + "\x01\x00" + string([]byte{byte(len(description)), 0}) + description + data)
		a, err := FromBytes("x", raw)
		require.NoError(t, err)
		assert.NotNil(t, a.raw)
		got, err := ReadAll[float64](a)
		require.NoError(t, err)
		assert.Equal(t, []float64{1, -2}, got, descr)
		last := make([]float64, 1)
		require.NoError(t, Read(last, a, 1))
		assert.Equal(t, []float64{-2}, last)

		path := filepath.Join(t.TempDir(), "x.npy")
		require.NoError(t, os.WriteFile(path, raw, 0o600))
		file, err := Open(path)
		require.NoError(t, err)
		got, err = ReadAll[float64](file)
		require.NoError(t, err)
		require.NoError(t, file.Close())
		assert.Equal(t, []float64{1, -2}, got, descr)
		_, err = FromBytes("x", raw[:len(raw)-1])
		assert.ErrorContains(t, err, "x: truncated")
	}
}
