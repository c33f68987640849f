package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// npyHeader makes what NumPy writes before the data.
func npyHeader(version byte, descr, fortran, shape string) []byte {
	dict := fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }", descr, fortran, shape)
	start := 12
	if version == 1 {
		start = 10
	}
	for (start+len(dict)+1)%64 != 0 {
		dict += " "
	}
	dict += "\n"
	header := append([]byte("\x93NUMPY"), version, 0)
	if version == 1 {
		header = binary.LittleEndian.AppendUint16(header, uint16(len(dict)))
	} else {
		header = binary.LittleEndian.AppendUint32(header, uint32(len(dict)))
	}
	return append(header, dict...)
}

// data encodes a slice of numbers of fixed size.
func data(t *testing.T, order binary.ByteOrder, values any) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, binary.Write(&b, order, values))
	return b.Bytes()
}

// pyTuple writes a shape as Python does.
func pyTuple(shape []int) string {
	if len(shape) == 1 {
		return fmt.Sprintf("(%d,)", shape[0])
	}
	return tuple(shape)
}

// write puts a file into a folder of the test.
func write(t *testing.T, name string, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, bytes.Join(parts, nil), 0o600))
	return path
}

// writeFloat64s writes a version 1 file of little-endian float64.
func writeFloat64s(t *testing.T, values []float64, shape ...int) string {
	t.Helper()
	return write(t, "x.npy", npyHeader(1, "<f8", "False", pyTuple(shape)), data(t, binary.LittleEndian, values))
}

func TestFloatsOfEveryVersionAndByteOrder(t *testing.T) {
	want := []float64{1.5, -2, math.Inf(-1), 0.25, 3, math.MaxFloat32}
	narrow := make([]float32, len(want))
	for i, v := range want {
		narrow[i] = float32(v)
	}
	for _, version := range []byte{1, 2, 3} {
		for _, c := range []struct {
			descr  string
			order  binary.ByteOrder
			values any
		}{
			{"<f4", binary.LittleEndian, narrow},
			{">f4", binary.BigEndian, narrow},
			{"<f8", binary.LittleEndian, want},
			{">f8", binary.BigEndian, want},
		} {
			t.Run(fmt.Sprintf("v%d %s", version, c.descr), func(t *testing.T) {
				a, err := openArray(write(t, "x.npy", npyHeader(version, c.descr, "False", "(2, 3)"), data(t, c.order, c.values)))
				require.NoError(t, err)
				defer a.Close()
				assert.Equal(t, []int{2, 3}, a.shape)
				got, err := a.floats()
				require.NoError(t, err)
				assert.Equal(t, want, got)

				part := make([]float32, 2)
				require.NoError(t, readFloats(part, a, 3))
				assert.Equal(t, narrow[3:5], part)

				raw := make([]byte, 6*a.dtype.size)
				encodeFloats(raw, want, a.dtype)
				assert.Equal(t, data(t, c.order, c.values), raw, "encoded as it was read")
			})
		}
	}
}

func TestIntegersOfEveryWidth(t *testing.T) {
	little, big := binary.LittleEndian, binary.BigEndian
	for _, c := range []struct {
		descr  string
		order  binary.ByteOrder
		values any
		want   []int
	}{
		{"|i1", little, []int8{-128, 127}, []int{-128, 127}},
		{"|u1", little, []uint8{0, 255}, []int{0, 255}},
		{"<i2", little, []int16{-32768, 258}, []int{-32768, 258}},
		{">i2", big, []int16{-32768, 258}, []int{-32768, 258}},
		{">u2", big, []uint16{258, 65535}, []int{258, 65535}},
		{"<i4", little, []int32{-1 << 31, 66051}, []int{-1 << 31, 66051}},
		{">u4", big, []uint32{66051, math.MaxInt32}, []int{66051, math.MaxInt32}},
		{"<i8", little, []int64{-100, math.MaxInt32}, []int{-100, math.MaxInt32}},
		{">i8", big, []int64{math.MinInt32, 5}, []int{math.MinInt32, 5}},
		{"<u8", little, []uint64{7, math.MaxInt32}, []int{7, math.MaxInt32}},
	} {
		t.Run(c.descr, func(t *testing.T) {
			l, err := readInts("-targets", write(t, "y.npy", npyHeader(1, c.descr, "False", "(2,)"), data(t, c.order, c.values)))
			require.NoError(t, err)
			assert.Equal(t, c.want, l.flat())
			assert.Equal(t, []int{2}, l.shape)
		})
	}
	_, err := readInts("-targets", write(t, "y.npy", npyHeader(1, "<u8", "False", "(2,)"), data(t, little, []uint64{7, 1 << 63})))
	assert.ErrorContains(t, err, "y.npy: element 1 is too large")
}

func TestArraysThatCannotBeRead(t *testing.T) {
	header := npyHeader(1, "<f4", "False", "(2, 3)")
	body := make([]byte, 24)
	for name, c := range map[string]struct {
		parts [][]byte
		want  string
	}{
		"empty":            {nil, "not a .npy file"},
		"text":             {[][]byte{[]byte("1 2 3 4 5 6 7 8 9")}, "not a .npy file"},
		"magic only":       {[][]byte{header[:8]}, "not a .npy file"},
		"half a header":    {[][]byte{header[:64]}, "truncated: the header takes 128 bytes, the file has 64"},
		"endless header":   {[][]byte{[]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"), body}, "corrupt header: a description of 4294967307 bytes"},
		"version 9":        {[][]byte{npyHeader(9, "<f4", "False", "(2, 3)"), body}, "invalid major version number (9)"},
		"Fortran":          {[][]byte{npyHeader(1, "<f4", "True", "(2, 3)"), body}, "Fortran order"},
		"truncated":        {[][]byte{header, body[:23]}, "truncated: (2,3) of float32 takes 24 bytes, the file has 23"},
		"too long":         {[][]byte{header, body, body[:1]}, "1 bytes follow the data of shape (2,3)"},
		"float16":          {[][]byte{npyHeader(1, "<f2", "False", "(2, 3)"), body[:12]}, "dtype float16: want float32 or float64"},
		"int64":            {[][]byte{npyHeader(1, "<i8", "False", "(3,)"), body}, "dtype int64: want float32 or float64"},
		"bool":             {[][]byte{npyHeader(1, "|b1", "False", "(24,)"), body}, `dtype "|b1": neither floats nor integers`},
		"complex":          {[][]byte{npyHeader(1, "<c8", "False", "(3,)"), body}, `dtype "<c8": neither floats nor integers`},
		"objects":          {[][]byte{npyHeader(1, "|O", "False", "(3,)"), body}, `dtype "|O": neither floats nor integers`},
		"negative axis":    {[][]byte{npyHeader(1, "<f4", "False", "(-2, -3)"), body}, "shape (-2,-3) is impossible"},
		"overflow":         {[][]byte{npyHeader(1, "<f4", "False", "(1073741824, 1073741824, 64)"), body}, "shape (1073741824,1073741824,64) is impossible"},
		"neither order":    {[][]byte{npyHeader(1, "<f4", "Maybe", "(2, 3)"), body}, "corrupt header"},
		"no shape":         {[][]byte{npyHeader(1, "<f4", "False", "None"), body}, "corrupt header"},
		"shape of strings": {[][]byte{npyHeader(1, "<f4", "False", "('a', 3)"), body}, "corrupt header"},
		"no newline":       {[][]byte{[]byte("\x93NUMPY\x01\x00\x04\x00{  }"), body}, "corrupt header"},
		"no header":        {[][]byte{[]byte("\x93NUMPY\x01\x00\x00\x00"), body}, "corrupt header"},
		"no last comma":    {[][]byte{bytes.Replace(npyHeader(1, "<f4", "False", "(6,1)"), []byte("), }"), []byte(")}  "), 1), body}, "not in the form that NumPy writes"},
		"two dictionaries": {[][]byte{npyHeader(1, "<f4", "False", "(2, 3), } {'shape': (3, 2)"), body}, "not in the form that NumPy writes"},
		"two shapes":       {[][]byte{npyHeader(1, "<f4', 'shape': (3, 2), 'descr': '<f4", "False", "(2, 3)"), body}, "not in the form that NumPy writes"},
		"list as shape":    {[][]byte{npyHeader(1, "<f4", "False", "[2, 3]"), body}, "not in the form that NumPy writes"},
		"no byte order":    {[][]byte{npyHeader(1, "!f4", "False", "(2, 3)"), body}, `dtype "!f4": neither floats nor integers`},
		"newline only":     {[][]byte{[]byte("\x93NUMPY\x01\x00\x01\x00\n"), body}, "corrupt header"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "x.npy", c.parts...)
			_, err := (&options{file: path}).openScores()
			require.ErrorContains(t, err, c.want)
			assert.ErrorContains(t, err, path+": ")
		})
	}
	_, err := openArray(t.TempDir())
	assert.ErrorContains(t, err, "not a regular file")
}

func FuzzHeader(f *testing.F) {
	f.Add(npyHeader(1, "<f4", "False", "(2, 3)"))
	f.Add(npyHeader(3, ">i8", "True", "()"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if a, err := openArray(write(t, "x.npy", raw)); err == nil {
			assert.Equal(t, len(raw), len(a.header)+product(a.shape)*a.dtype.size)
			a.Close()
		}
	})
}
