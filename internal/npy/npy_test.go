package npy_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gotrellis/trellis/internal/npy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dictionary describes an array as NumPy does.
func dictionary(descr, fortran, shape string) string {
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }", descr, fortran, shape)
}

// header makes what NumPy writes before the elements.
func header(version byte, dictionary string) []byte {
	start := 12
	if version == 1 {
		start = 10
	}
	for (start+len(dictionary)+1)%64 != 0 {
		dictionary += " "
	}
	dictionary += "\n"
	b := append([]byte("\x93NUMPY"), version, 0)
	if version == 1 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(dictionary)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(dictionary)))
	}
	return append(b, dictionary...)
}

// elements encodes a slice of numbers of fixed size.
func elements(t *testing.T, order binary.ByteOrder, values any) []byte {
	t.Helper()
	b, err := binary.Append(nil, order, values)
	require.NoError(t, err)
	return b
}

// write puts a file into a folder of the test.
func write(t *testing.T, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.npy")
	require.NoError(t, os.WriteFile(path, bytes.Join(parts, nil), 0o600))
	return path
}

func TestFloatsOfEveryVersionAndByteOrder(t *testing.T) {
	narrow := []float32{0, -1.5, 0x1p-149, float32(math.Inf(-1)), 0.25, math.MaxFloat32}
	want := make([]float64, len(narrow))
	for i, v := range narrow {
		want[i] = float64(v)
	}
	extreme := []float64{0, -1.5, 0x1p-1074, math.Inf(-1), 0.25, math.MaxFloat64}
	rounded := []float32{0, -1.5, 0, float32(math.Inf(-1)), 0.25, float32(math.Inf(1))}
	for _, version := range []byte{1, 2, 3} {
		for _, c := range []struct {
			descr  string
			order  binary.ByteOrder
			values any
			want   []float64
			narrow []float32
		}{
			{"<f4", binary.LittleEndian, narrow, want, narrow},
			{">f4", binary.BigEndian, narrow, want, narrow},
			{"<f8", binary.LittleEndian, extreme, extreme, rounded},
			{">f8", binary.BigEndian, extreme, extreme, rounded},
		} {
			t.Run(fmt.Sprintf("v%d %s", version, c.descr), func(t *testing.T) {
				before, data := header(version, dictionary(c.descr, "False", "(2, 3)")), elements(t, c.order, c.values)
				a, err := npy.Open(write(t, before, data))
				require.NoError(t, err)
				defer a.Close()
				assert.Equal(t, []int{2, 3}, a.Shape)
				assert.Equal(t, 6, a.Len())
				assert.Equal(t, before, a.Header)
				assert.EqualValues(t, len(before)+3*a.Dtype.Size, a.Offset(3))
				got, err := npy.ReadAll[float64](a)
				require.NoError(t, err)
				assert.Equal(t, c.want, got)

				part := make([]float32, 2)
				require.NoError(t, npy.Read(part, a, 2))
				assert.Equal(t, c.narrow[2:4], part)
				require.NoError(t, npy.Read(part, a, 4))
				assert.Equal(t, c.narrow[4:], part)

				raw := make([]byte, len(data))
				npy.Encode(raw, c.want, a.Dtype)
				assert.Equal(t, data, raw, "encoded as it was read")
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
		{">i4", big, []int32{-1 << 31, 1 << 30}, []int{-1 << 31, 1 << 30}},
		{">u4", big, []uint32{66051, math.MaxInt32}, []int{66051, math.MaxInt32}},
		{"<i8", little, []int64{math.MinInt, math.MaxInt}, []int{math.MinInt, math.MaxInt}},
		{">i8", big, []int64{math.MinInt, 5}, []int{math.MinInt, 5}},
		{"<u8", little, []uint64{7, math.MaxInt}, []int{7, math.MaxInt}},
	} {
		for _, version := range []byte{1, 2, 3} {
			t.Run(fmt.Sprintf("v%d %s", version, c.descr), func(t *testing.T) {
				data, shape, err := npy.ReadFile[int](write(t, header(version, dictionary(c.descr, "False", "(2,)")), elements(t, c.order, c.values)))
				require.NoError(t, err)
				assert.Equal(t, c.want, data)
				assert.Equal(t, []int{2}, shape)
			})
		}
	}
	for descr, values := range map[string]any{"<u8": []uint64{7, 1 << 63}, ">u8": []uint64{7, math.MaxUint64}} {
		order := binary.ByteOrder(little)
		if descr[0] == '>' {
			order = big
		}
		path := write(t, header(1, dictionary(descr, "False", "(2,)")), elements(t, order, values))
		a, err := npy.Open(path)
		require.NoError(t, err)
		defer a.Close()
		_, err = npy.ReadAll[int](a)
		assert.EqualError(t, err, path+": element 1 is too large")
		assert.EqualError(t, npy.Read(make([]int, 1), a, 1), path+": element 1 is too large")
		assert.NoError(t, npy.Read(make([]int, 1), a, 0))
	}
}

// TestManyElements has more than go from file to memory at a time.
func TestManyElements(t *testing.T) {
	const n = 300000
	values := make([]uint32, n)
	want := make([]int, n)
	for i := range values {
		values[i], want[i] = uint32(i), i
	}
	a, err := npy.Open(write(t, header(1, dictionary("<u4", "False", "(300, 1000)")), elements(t, binary.LittleEndian, values)))
	require.NoError(t, err)
	defer a.Close()
	got, err := npy.ReadAll[int](a)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NoError(t, npy.Read(got[:200000], a, 12345))
	require.Equal(t, want[12345:212345], got[:200000])
}

// TestPartOfAHugeFile reads both ends of 1 GiB, most of which is a hole.
func TestPartOfAHugeFile(t *testing.T) {
	before := header(1, dictionary("<f4", "False", "(16384, 16384)"))
	path := write(t, before, elements(t, binary.LittleEndian, []float32{1, 2}))
	require.NoError(t, os.Truncate(path, int64(len(before))+1<<30))
	a, err := npy.Open(path)
	require.NoError(t, err)
	defer a.Close()
	part := make([]float64, 3)
	require.NoError(t, npy.Read(part, a, 0))
	assert.Equal(t, []float64{1, 2, 0}, part)
	require.NoError(t, npy.Read(part, a, 1<<28-3))
	assert.Equal(t, []float64{0, 0, 0}, part)
	assert.EqualError(t, npy.Read(part, a, 1<<28-2), path+": unexpected EOF")
}

// A file as NumPy writes it: numpy.save of numpy.array([[1, -2]], '>i4').
var saved = "\x93NUMPY\x01\x00v\x00{'descr': '>i4', 'fortran_order': False, 'shape': (1, 2), }" +
	strings.Repeat(" ", 58) + "\n\x00\x00\x00\x01\xff\xff\xff\xfe"

func TestReadFile(t *testing.T) {
	path := write(t, []byte(saved))
	data, shape, err := npy.ReadFile[int](path)
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2}, shape)
	assert.Equal(t, []int{1, -2}, data)

	_, _, err = npy.ReadFile[float32](path)
	assert.EqualError(t, err, path+": dtype int32: want floats")
	_, _, err = npy.ReadFile[int](path + ".missing")
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.ErrorContains(t, err, path)

	for descr, size := range map[string]int{"<f4": 4, "<f8": 8} {
		path := write(t, header(1, dictionary(descr, "False", "(2,)")), make([]byte, 2*size))
		_, _, err := npy.ReadFile[float32](path)
		_, _, err64 := npy.ReadFile[float64](path)
		if size == 4 {
			assert.NoError(t, err)
			assert.EqualError(t, err64, path+": dtype float32: want float64")
		} else {
			assert.EqualError(t, err, path+": dtype float64: want float32")
			assert.NoError(t, err64)
		}
		_, _, err = npy.ReadFile[int](path)
		assert.ErrorContains(t, err, path+": dtype float")
	}
}

func TestTypes(t *testing.T) {
	for descr, floats := range map[string]bool{"<f4": true, ">f8": true, "<f2": true, "|u1": false, "<i8": false} {
		size := int(descr[2] - '0')
		path := write(t, header(1, dictionary(descr, "False", "(3,)")), make([]byte, 3*size))
		a, err := npy.Open(path)
		require.NoError(t, err)
		defer a.Close()
		want := fmt.Sprintf("%s: dtype %s: want floats", path, a.Dtype)
		for _, err := range []error{npy.CheckType[float32](a), npy.CheckType[float64](a), npy.Read(make([]float64, 1), a, 0)} {
			if floats {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, want)
			}
		}
		_, err = npy.ReadAll[int](a)
		if descr[1] == 'f' {
			assert.EqualError(t, err, fmt.Sprintf("%s: dtype %s: want integers", path, a.Dtype))
		} else {
			assert.NoError(t, err)
		}
	}
}

func TestShapes(t *testing.T) {
	for text, want := range map[string][]int{
		"()": nil, "(3,)": {3}, "(3)": {3}, "(2, 0, 5)": {2, 0, 5}, "(1,2,3)": {1, 2, 3}, "(0, 4)": {0, 4}, "(2, 1, 3, )": {2, 1, 3},
	} {
		count := 1
		for _, d := range want {
			count *= d
		}
		data, shape, err := npy.ReadFile[float32](write(t, header(1, dictionary("<f4", "False", text)), make([]byte, 4*count)))
		require.NoError(t, err, text)
		assert.Equal(t, want, shape, text)
		assert.Len(t, data, count, text)
	}
	assert.Equal(t, "()", npy.Tuple(nil))
	assert.Equal(t, "(3)", npy.Tuple([]int{3}))
	assert.Equal(t, "(2,0,5)", npy.Tuple([]int{2, 0, 5}))
}

func TestFilesThatAreNoArrays(t *testing.T) {
	good := header(1, dictionary("<f4", "False", "(2, 3)"))
	body := make([]byte, 24)
	of := func(descr, fortran, shape string) []byte { return header(1, dictionary(descr, fortran, shape)) }
	const otherForm = "corrupt header, or not in the form that NumPy writes"
	for name, c := range map[string]struct {
		parts [][]byte
		want  string
	}{
		"empty":             {nil, "the file is empty"},
		"text":              {[][]byte{[]byte("1 2 3 4 5 6 7 8 9")}, "not a .npy file"},
		"magic only":        {[][]byte{good[:8]}, "not a .npy file"},
		"a zip archive":     {[][]byte{[]byte("PK\x03\x04"), good, body}, "a .npz file that is damaged: zip: not a valid zip file"},
		"half a header":     {[][]byte{good[:64]}, "truncated: the header takes 128 bytes, the file has 64"},
		"endless header":    {[][]byte{[]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"), body}, "corrupt header: a description of 4294967307 bytes"},
		"long header":       {[][]byte{[]byte("\x93NUMPY\x02\x00\x00\x00\x00\x10{'descr'")}, "corrupt header: a description of 268435468 bytes"},
		"version 0":         {[][]byte{header(0, dictionary("<f4", "False", "(2, 3)")), body}, "version 0 of the .npy format: want 1, 2 or 3"},
		"version 4":         {[][]byte{header(4, dictionary("<f4", "False", "(2, 3)")), body}, "version 4 of the .npy format: want 1, 2 or 3"},
		"version 9":         {[][]byte{header(9, dictionary("<f4", "False", "(2, 3)")), body}, "version 9 of the .npy format: want 1, 2 or 3"},
		"Fortran":           {[][]byte{of("<f4", "True", "(2, 3)"), body}, "in Fortran order; save it with numpy.ascontiguousarray"},
		"truncated":         {[][]byte{good, body[:23]}, "truncated: (2,3) of float32 takes 24 bytes, the file has 23"},
		"too long":          {[][]byte{good, body, body[:1]}, "1 bytes follow the data of shape (2,3)"},
		"bool":              {[][]byte{of("|b1", "False", "(24,)"), body}, `dtype "|b1": neither floats nor integers`},
		"complex":           {[][]byte{of("<c8", "False", "(3,)"), body}, `dtype "<c8": neither floats nor integers`},
		"objects":           {[][]byte{of("|O", "False", "(3,)"), body}, `dtype "|O": neither floats nor integers`},
		"structured type":   {[][]byte{header(3, "{'descr': [('é', '<f8')], 'fortran_order': False, 'shape': (3,), }"), body}, `dtype "[('é', '<f8')]": neither floats nor integers`},
		"no byte order":     {[][]byte{of("!f4", "False", "(2, 3)"), body}, `dtype "!f4": neither floats nor integers`},
		"negative axes":     {[][]byte{of("<f4", "False", "(-2, -3)"), body}, "shape (-2,-3) is impossible"},
		"axis overflows":    {[][]byte{of("<f8", "False", "(99999999999999999999,)"), body}, "shape (99999999999999999999,) is impossible"},
		"overflow":          {[][]byte{of("<f4", "False", "(1073741824, 1073741824, 64)"), body}, "shape (1073741824,1073741824,64) is impossible"},
		"overflow to 0":     {[][]byte{of("<f8", "False", "(65536, 65536, 65536, 65536)")}, "shape (65536,65536,65536,65536) is impossible"},
		"rows of nothing":   {[][]byte{of("<f4", "False", "(100000000, 4, 0)")}, "shape (100000000,4,0) has no elements, and more rows of them than can be meant"},
		"columns with none": {[][]byte{of("<f4", "False", "(0, 1000000000)")}, "shape (0,1000000000) has no elements, and more rows of them than can be meant"},
		"neither order":     {[][]byte{of("<f4", "Maybe", "(2, 3)"), body}, otherForm},
		"shape of None":     {[][]byte{of("<f4", "False", "None"), body}, otherForm},
		"shape of strings":  {[][]byte{of("<f4", "False", "('a', 3)"), body}, otherForm},
		"list as shape":     {[][]byte{of("<f4", "False", "[2, 3]"), body}, otherForm},
		"no newline":        {[][]byte{[]byte("\x93NUMPY\x01\x00\x04\x00{  }"), body}, otherForm},
		"no description":    {[][]byte{[]byte("\x93NUMPY\x01\x00\x00\x00"), body}, otherForm},
		"newline only":      {[][]byte{[]byte("\x93NUMPY\x01\x00\x01\x00\n"), body}, otherForm},
		"no shape":          {[][]byte{header(1, "{'descr': '<f8', 'fortran_order': False, }"), body}, otherForm},
		"shape first":       {[][]byte{header(1, "{'shape': (2, 3), 'descr': '<f4', 'fortran_order': False, }"), body}, otherForm},
		"no last comma":     {[][]byte{header(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (6,1)}"), body}, otherForm},
		"two dictionaries":  {[][]byte{of("<f4", "False", "(2, 3), } {'shape': (3, 2)"), body}, otherForm},
		"two shapes":        {[][]byte{of("<f4', 'shape': (3, 2), 'descr': '<f4", "False", "(2, 3)"), body}, otherForm},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, c.parts...)
			_, err := npy.Open(path)
			assert.EqualError(t, err, path+": "+c.want)
			_, _, err = npy.ReadFile[float32](path)
			assert.EqualError(t, err, path+": "+c.want)
		})
	}
	folder := t.TempDir()
	_, err := npy.Open(folder)
	assert.EqualError(t, err, folder+": not a regular file")
}

func TestEveryPrefix(t *testing.T) {
	for _, version := range []byte{1, 2} {
		whole := append(header(version, dictionary("<f8", "False", "(2,)")), make([]byte, 16)...)
		path := write(t)
		for n := range whole {
			require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
			want := "truncated: "
			if n == 0 {
				want = "the file is empty"
			} else if n < 12 {
				want = "not a .npy file"
			}
			_, err := npy.Open(path)
			require.ErrorContains(t, err, path+": "+want, "%d bytes", n)
		}
	}
}

func TestFileThatShrinks(t *testing.T) {
	path := write(t, header(1, dictionary("<i8", "False", "(2,)")), make([]byte, 16))
	a, err := npy.Open(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, a.Offset(1)))
	require.NoError(t, npy.Read(make([]int, 1), a, 0))
	_, err = npy.ReadAll[int](a)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.ErrorContains(t, err, path+": ")

	require.NoError(t, a.Close())
	_, err = npy.ReadAll[int](a)
	assert.ErrorIs(t, err, os.ErrClosed)
}

func FuzzHeader(f *testing.F) {
	f.Add(header(1, dictionary("<f4", "False", "(2, 3)")))
	f.Add(header(3, dictionary(">i8", "True", "()")))
	f.Add(archive(f, zip.Deflate, member{"a.npy", array(1, 2, 3)}))
	f.Add(archive(f, zip.Store, member{"a.npy", array(1, 2, 3)}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := npy.FromBytes("x", raw)
		if err != nil {
			return
		}
		if bytes.HasPrefix(raw, []byte(npy.Magic)) {
			assert.Equal(t, len(raw), len(a.Header)+a.Len()*a.Dtype.Size)
			assert.EqualValues(t, len(raw), a.Offset(a.Len()))
		}
		if npy.CheckType[float64](a) == nil {
			_, err := npy.ReadAll[float64](a)
			assert.True(t, err == nil || a.Unpacked() > 0, err)
		} else if values, err := npy.ReadAll[int](a); err == nil {
			assert.Len(t, values, a.Len())
		}
	})
}
