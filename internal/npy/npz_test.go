package npy_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gotrellis/trellis/internal/npy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// member is a file of an archive.
type member struct {
	name string
	raw  []byte
}

// archive makes a .npz file as numpy.savez or numpy.savez_compressed does.
func archive(t testing.TB, method uint16, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range members {
		w, err := z.CreateHeader(&zip.FileHeader{Name: m.name, Method: method})
		require.NoError(t, err)
		_, err = w.Write(m.raw)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

// array is a .npy file of bytes.
func array(values ...byte) []byte {
	return append(header(1, dictionary("|u1", "False", "(3,)")), values...)
}

func writeNPZ(t *testing.T, raw []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.npz")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	return path
}

func TestArchives(t *testing.T) {
	one, two := member{"one.npy", array(1, 2, 3)}, member{"two.npy", array(4, 5, 6)}
	note := member{"note.txt", []byte("text")}
	for name, method := range map[string]uint16{"stored": zip.Store, "compressed": zip.Deflate} {
		t.Run(name, func(t *testing.T) {
			alone := writeNPZ(t, archive(t, method, note, one))
			both := writeNPZ(t, archive(t, method, one, two))
			for path, want := range map[string][]int{
				alone: {1, 2, 3}, alone + ":one": {1, 2, 3}, both + ":one": {1, 2, 3}, both + ":two": {4, 5, 6},
			} {
				require.True(t, npy.IsArray(path))
				a, err := npy.Open(path)
				require.NoError(t, err)
				assert.Equal(t, path, a.Name)
				assert.Equal(t, one.raw[:len(a.Header)], a.Header)
				got, err := npy.ReadAll[int](a)
				require.NoError(t, err)
				assert.Equal(t, want, got)
				assert.NoError(t, a.Close())
			}
			for path, want := range map[string]string{
				both:                                  "2 arrays are in it; say which, as in x.npz:one: one, two",
				both + ":three":                       "no array of that name is in it, but one, two",
				writeNPZ(t, archive(t, method, note)): "no array is in it",
				writeNPZ(t, archive(t, method, member{"a.npy", array(1, 2)})):    "truncated: (3) of uint8 takes 3 bytes, the file has 2",
				writeNPZ(t, archive(t, method, member{"a.npy", []byte("text")})): "not a .npy file",
				writeNPZ(t, archive(t, method, one)[:60]):                        "a .npz file that is damaged: zip: not a valid zip file",
			} {
				_, err := npy.Open(path)
				assert.EqualError(t, err, path+": "+want)
			}
		})
	}
	path := writeNPZ(t, array(1, 2, 3))
	_, err := npy.Open(path + ":one")
	assert.EqualError(t, err, path+":one: not a .npz file")
	require.NoError(t, os.Rename(path, path+":one"))
	data, _, err := npy.ReadFile[int](path + ":one")
	require.NoError(t, err, "a file of that name")
	assert.Equal(t, []int{1, 2, 3}, data)
	assert.False(t, npy.IsArray(path))
	assert.False(t, npy.IsArray(t.TempDir()))
	assert.False(t, npy.IsArray(write(t, []byte("1 2"))))
}

// A compressed array whose bytes are not those that the archive promises.
func TestDamagedArchive(t *testing.T) {
	raw := archive(t, zip.Deflate, member{"a.npy", array(1, 2, 3)})
	at := bytes.Index(raw, []byte("a.npy")) + len("a.npy") + 10
	raw[at] ^= 0x55
	path := writeNPZ(t, raw)
	_, err := npy.Open(path)
	assert.ErrorContains(t, err, path+": a.npy: ")
}

// A large array that is compressed is unpacked when it is read, and only then has what is damaged been seen.
func TestLargeCompressedArray(t *testing.T) {
	values := make([]byte, 100_000)
	for i := range values {
		values[i] = byte(i * i >> 3)
	}
	raw := archive(t, zip.Deflate, member{"a.npy", append(header(1, dictionary("|u1", "False", "(100000,)")), values...)})
	a, err := npy.Open(writeNPZ(t, raw))
	require.NoError(t, err)
	defer a.Close()
	assert.Equal(t, len(a.Header)+len(values), a.Unpacked())
	got := make([]int, len(values))
	require.NoError(t, npy.Read(got[:10], a, 99_990))
	for i, v := range values[99_990:] {
		assert.EqualValues(t, v, got[i])
	}
	require.NoError(t, npy.Read(got, a, 0))
	for i, v := range values {
		require.EqualValues(t, v, got[i])
	}

	sum := bytes.LastIndex(raw, []byte("PK\x01\x02")) + 16 // that of the directory
	raw[sum] ^= 1
	sum = bytes.LastIndex(raw, []byte("PK\x07\x08")) + 4 // that behind the data
	raw[sum] ^= 1
	path := writeNPZ(t, raw)
	damaged, err := npy.Open(path)
	require.NoError(t, err)
	defer damaged.Close()
	_, err = npy.ReadAll[int](damaged)
	assert.EqualError(t, err, path+": a.npy: zip: checksum error")
	_, err = npy.ReadAll[int](damaged)
	assert.Error(t, err)
}

// A compressed array that is said to become more than any could is an error, not an allocation.
func TestArchiveThatPromisesTooMuch(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateRaw(&zip.FileHeader{Name: "a.npy", Method: zip.Deflate, CompressedSize64: 10, UncompressedSize64: 1 << 31})
	require.NoError(t, err)
	_, err = w.Write(make([]byte, 10))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	path := writeNPZ(t, b.Bytes())
	_, err = npy.Open(path)
	assert.EqualError(t, err, path+": a.npy: 10 bytes cannot become 2147483648")

	zeros := make([]byte, 1<<20) // are what packs best
	a, err := npy.Open(writeNPZ(t, archive(t, zip.Deflate, member{"a.npy", append(header(1, dictionary("|u1", "False", "(1048576,)")), zeros...)})))
	require.NoError(t, err)
	got, err := npy.ReadAll[int](a)
	require.NoError(t, err)
	assert.Len(t, got, len(zeros))
	assert.NoError(t, a.Close())
}

// An array that is not compressed and, by what the archive says of it, goes on behind its end.
func TestArchiveThatIsShort(t *testing.T) {
	start := header(1, dictionary("<f4", "False", "(1073741824, 1024)"))
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	size := uint64(len(start)) + 1<<42
	w, err := z.CreateRaw(&zip.FileHeader{Name: "a.npy", Method: zip.Store, CompressedSize64: size, UncompressedSize64: size})
	require.NoError(t, err)
	_, err = w.Write(start)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	path := writeNPZ(t, b.Bytes())
	_, err = npy.Open(path)
	assert.EqualError(t, err, fmt.Sprintf("%s: a.npy: truncated: it takes %d bytes from 35 on, the archive has %d", path, size, b.Len()))
}

func TestFromReader(t *testing.T) {
	for _, raw := range [][]byte{array(1, 2, 3), archive(t, zip.Deflate, member{"a.npy", array(1, 2, 3)})} {
		a, err := npy.FromReader("pipe", iotest.OneByteReader(bytes.NewReader(raw)))
		require.NoError(t, err)
		assert.Equal(t, "pipe", a.Name)
		got, err := npy.ReadAll[int](a)
		require.NoError(t, err)
		assert.Equal(t, []int{1, 2, 3}, got)
		assert.NoError(t, a.Close())
	}
	_, err := npy.FromReader("pipe", bytes.NewReader(array(1, 2)))
	assert.EqualError(t, err, "pipe: truncated: (3) of uint8 takes 3 bytes, the file has 2")
	for _, text := range []string{"", "1 2", "1 2 3 4 5 6 7 8"} {
		// What is no array is not read to its end, which may never come.
		_, err = npy.FromReader("pipe", strings.NewReader(text))
		assert.EqualError(t, err, "pipe: not a .npy file", text)
	}
	endless := readerFunc(func(p []byte) (int, error) { return len(p), nil })
	_, err = npy.FromReader("pipe", endless)
	assert.EqualError(t, err, "pipe: not a .npy file")
	failure := errors.New("failure")
	_, err = npy.FromReader("pipe", iotest.ErrReader(failure))
	assert.ErrorIs(t, err, failure)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestFloat16(t *testing.T) {
	bits := []uint16{0x3c00, 0xc100, 0x0001, 0xfc00}
	want := []float64{1, -2.5, 0x1p-24, math.Inf(-1)}
	for descr, order := range map[string]binary.ByteOrder{"<f2": binary.LittleEndian, ">f2": binary.BigEndian} {
		data := elements(t, order, bits)
		a, err := npy.Open(write(t, header(1, dictionary(descr, "False", "(2, 2)")), data))
		require.NoError(t, err)
		defer a.Close()
		assert.Equal(t, "float16", a.Dtype.String())
		got, err := npy.ReadAll[float64](a)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		narrow := make([]float32, 2)
		require.NoError(t, npy.Read(narrow, a, 1))
		assert.Equal(t, []float32{-2.5, 0x1p-24}, narrow)
		raw := make([]byte, len(data))
		npy.Encode(raw, want, a.Dtype)
		assert.Equal(t, data, raw)
	}
	_, err := npy.Open(write(t, header(1, dictionary("|f1", "False", "(2,)")), make([]byte, 2)))
	assert.ErrorContains(t, err, `dtype "|f1": neither floats nor integers`)
}
