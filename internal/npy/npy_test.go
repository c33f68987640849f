package npy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gotrellis/trellis/internal/npy"
	"github.com/stretchr/testify/require"
)

// file builds a file of the given version of the format.
func file(t *testing.T, version byte, header string, order binary.ByteOrder, data any) []byte {
	t.Helper()
	b := append([]byte("\x93NUMPY"), version, 0)
	if version == 1 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
	}
	b = append(b, header...)
	b, err := binary.Append(b, order, data)
	require.NoError(t, err)
	return b
}

// requireReads reads a file in which all versions and byte orders hold data.
func requireReads[T npy.Element](t *testing.T, kind string, data []T) {
	t.Helper()
	for _, version := range []byte{1, 2, 3} {
		for mark, order := range map[string]binary.ByteOrder{"<": binary.LittleEndian, ">": binary.BigEndian} {
			header := "{'descr': '" + mark + kind + "', 'fortran_order': False, 'shape': (2, 3), }     \n"
			got, shape, err := npy.Read[T](bytes.NewReader(file(t, version, header, order, data)))
			require.NoError(t, err, "version %d, %s", version, mark)
			require.Equal(t, []int{2, 3}, shape)
			require.Equal(t, data, got, "version %d, %s", version, mark)
		}
	}
}

func TestReadTypesOrdersAndVersions(t *testing.T) {
	requireReads(t, "f4", []float32{0, -1.5, 0x1p-149, 3, 4, 1e38})
	requireReads(t, "f8", []float64{0, -1.5, 0x1p-1074, 3, 4, 1e308})
	requireReads(t, "i4", []int32{0, -1, 1 << 30, 3, 4, -1 << 31})
	requireReads(t, "i8", []int64{0, -1, 1 << 62, 3, 4, -1 << 63})
}

// A file as NumPy writes it: numpy.save of numpy.array([[1, -2]], '>i4').
var saved = "\x93NUMPY\x01\x00v\x00{'descr': '>i4', 'fortran_order': False, 'shape': (1, 2), }" +
	strings.Repeat(" ", 58) + "\n\x00\x00\x00\x01\xff\xff\xff\xfe"

func TestReadFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.npy")
	require.NoError(t, os.WriteFile(name, []byte(saved), 0o600))
	data, shape, err := npy.ReadFile[int32](name)
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, shape)
	require.Equal(t, []int32{1, -2}, data)

	_, _, err = npy.ReadFile[float32](name)
	require.ErrorContains(t, err, name)
	_, _, err = npy.ReadFile[int32](name + ".missing")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestReadShapes(t *testing.T) {
	for text, want := range map[string][]int{
		"()": {}, "(3,)": {3}, "(3)": {3}, "(2, 0, 5)": {2, 0, 5}, "(1,2,3)": {1, 2, 3},
	} {
		count := 1
		for _, d := range want {
			count *= d
		}
		header := "{'shape': " + text + ", 'fortran_order': False, 'descr': '<f4'}"
		data, shape, err := npy.Read[float32](bytes.NewReader(file(t, 1, header, binary.LittleEndian, make([]float32, count))))
		require.NoError(t, err, text)
		require.Equal(t, want, shape, text)
		require.Len(t, data, count, text)
	}
}

func TestReadErrors(t *testing.T) {
	good := "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }"
	for name, test := range map[string]struct {
		header, message string
	}{
		"Fortran order":   {"{'descr': '<f8', 'fortran_order': True, 'shape': (2,), }", "C order"},
		"another type":    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "f4, not f8"},
		"structured type": {"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,), }", "simple type"},
		"no shape":        {"{'descr': '<f8', 'fortran_order': False, }", "no shape"},
		"negative axis":   {"{'descr': '<f8', 'fortran_order': False, 'shape': (-2,), }", "no shape"},
		"axis overflows":  {"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,), }", "out of range"},
		"shape overflows": {"{'descr': '<f8', 'fortran_order': False, 'shape': (65536, 65536, 65536, 65536), }", "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := npy.Read[float64](bytes.NewReader(file(t, 1, test.header, binary.LittleEndian, []float64{1, 2})))
			require.ErrorContains(t, err, test.message)
		})
	}
	whole := file(t, 2, good, binary.LittleEndian, []float64{1, 2})
	for n := range whole {
		_, _, err := npy.Read[float64](bytes.NewReader(whole[:n]))
		require.True(t, isShort(err), "%d bytes: %v", n, err)
	}
	_, _, err := npy.Read[float64](bytes.NewReader(append([]byte("PK\x03\x04"), whole...)))
	require.ErrorContains(t, err, "magic")
	whole[6] = 4
	_, _, err = npy.Read[float64](bytes.NewReader(whole))
	require.ErrorContains(t, err, "version 4")
	whole[6], whole[11] = 2, 0xff
	_, _, err = npy.Read[float64](bytes.NewReader(whole))
	require.ErrorContains(t, err, "header of")
}

// isShort reports whether an error says that a file ends too early.
func isShort(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
