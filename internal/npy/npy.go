// Package npy reads arrays of floats and integers that NumPy saved in .npy and .npz files,
// all of an array or a part of it.
package npy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/gotrellis/trellis/internal/fp"
)

// Magic is how every .npy file begins.
const Magic = "\x93NUMPY"

// Array is a .npy file whose header has been read and checked. The elements stay in
// the file until they are asked for.
type Array struct {
	Name   string // of the file: errors begin with it
	Header []byte // all that comes before the elements, as it stands in the file
	Dtype  Dtype
	Shape  []int // nil for a scalar
	data   io.ReaderAt
	raw    []byte    // of data, if they are in memory
	file   io.Closer // or nil
}

// Open opens a .npy file, or an array of a .npz file, and checks that it holds what its header
// says: an array in C order, neither cut off nor followed by anything. The header must have the
// form that NumPy gives it, in version 1, 2 or 3. Errors begin with the name of the file.
//
// Of several arrays in a .npz file the name says which one is meant, as in "x.npz:logits". An
// array that is compressed there is held in memory once elements have been read.
func Open(name string) (*Array, error) {
	path, member := split(name)
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path) // opening a pipe would wait for its other end
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		var a *Array
		if a, err = newNamed(name, file, info.Size(), member); err == nil {
			a.file = file
			return a, nil
		}
	}
	file.Close()
	return nil, err
}

// maxStream is the most bytes that are held in memory of what has no places to go back to.
const maxStream = 1 << 32

// FromReader reads a .npy or .npz file from r to its end, as Open does from a file of that
// name. The file is held in memory.
func FromReader(name string, r io.Reader) (*Array, error) {
	buffered := bufio.NewReader(r)
	start, err := buffered.Peek(len(Magic))
	if err == nil && !IsMagic(start) || err == io.EOF {
		return nil, fmt.Errorf("%s: %w", name, errNoArray) // before all of it has been read
	}
	raw, err := io.ReadAll(io.LimitReader(buffered, maxStream+1))
	if err == nil && int64(len(raw)) > maxStream {
		err = fmt.Errorf("more than %d GiB, which only a file may have", maxStream>>30)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return newNamed(name, bytes.NewReader(raw), int64(len(raw)), "")
}

// FromReaderAt reads a .npy or .npz file of so many bytes, as Open does from a file of that name.
func FromReaderAt(name string, data io.ReaderAt, size int64) (*Array, error) {
	_, member := split(name)
	return newNamed(name, data, size, member)
}

// FromBytes reads the bytes of a .npy or .npz file, as Open does from a file of that name. The array
// holds on to them.
func FromBytes(name string, raw []byte) (*Array, error) {
	a, err := FromReaderAt(name, bytes.NewReader(raw), int64(len(raw)))
	if err == nil && bytes.HasPrefix(raw, []byte(Magic)) { // else it is in an archive
		a.raw = raw
	}
	return a, err
}

// newNamed is newArray with a name, which its errors begin with.
func newNamed(name string, data io.ReaderAt, size int64, member string) (*Array, error) {
	a, err := newArray(data, size, member)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	a.Name = name
	return a, nil
}

// newArray reads the header of a .npy file of so many bytes, or of one in a .npz file.
func newArray(data io.ReaderAt, size int64, member string) (*Array, error) {
	var start [len(zipMagic)]byte
	data.ReadAt(start[:], 0)
	if isZip := string(start[:]) == zipMagic; isZip {
		var err error
		if data, size, err = openMember(data, size, member); err != nil {
			return nil, err
		}
	} else if member != "" {
		return nil, errors.New("not a .npz file")
	}
	a := &Array{data: data}
	return a, a.readHeader(size)
}

// Close closes the file. No elements can be read after it.
func (a *Array) Close() error {
	if a.file == nil {
		return nil
	}
	return a.file.Close()
}

// Len returns the number of elements.
func (a *Array) Len() int {
	n := 1
	for _, d := range a.Shape {
		n *= d
	}
	return n
}

// Unpacked returns how many bytes of memory the array holds once elements have been read: all of them
// if it is compressed, else none.
func (a *Array) Unpacked() int {
	if p, ok := a.data.(*packed); ok {
		return int(p.file.UncompressedSize64)
	}
	return 0
}

// Offset returns where in the file element i begins, in bytes.
func (a *Array) Offset(i int) int64 {
	return int64(len(a.Header)) + int64(i)*int64(a.Dtype.Size)
}

// readHeader reads all that comes before the elements of a file of so many bytes, and checks it.
func (a *Array) readHeader(size int64) error {
	description, err := a.readDescription(size)
	if err != nil {
		return err
	}
	if err := a.parseDescription(description); err != nil {
		return err
	}
	return a.checkSize(size)
}

var errNoArray = errors.New("not a .npy file")

// maxHeader is more than the header of any array of numbers takes.
const maxHeader = 1 << 20

// readDescription reads the header: the magic string, two bytes of the version, the
// length of the description and the description, which it returns. The length takes
// 2 bytes in version 1 and 4 since. Versions 2 and 3 differ in the encoding of names
// that only structured types have, which are refused anyway.
func (a *Array) readDescription(size int64) ([]byte, error) {
	if size == 0 {
		return nil, errors.New("the file is empty")
	}
	var start [12]byte
	if n, _ := a.data.ReadAt(start[:], 0); n < len(start) || string(start[:len(Magic)]) != Magic {
		return nil, errNoArray
	}
	at, length := int64(12), int64(binary.LittleEndian.Uint32(start[8:]))
	switch version := start[6]; version {
	case 1:
		at, length = 10, int64(binary.LittleEndian.Uint16(start[8:]))
	case 2, 3:
	default:
		return nil, fmt.Errorf("version %d of the .npy format: want 1, 2 or 3", version)
	}
	length += at
	if length > maxHeader {
		return nil, fmt.Errorf("corrupt header: a description of %d bytes", length)
	}
	if length > size {
		return nil, fmt.Errorf("truncated: the header takes %d bytes, the file has %d", length, size)
	}
	a.Header = make([]byte, length)
	_, err := a.data.ReadAt(a.Header, 0)
	return a.Header[at:], err
}

// cutForm takes a description apart: a dictionary of Python as NumPy writes it, with some freedom in
// the shape. It finds the type, whether the order is Fortran's, and the axes.
func cutForm(description string) (descr, fortran, shape string, ok bool) {
	rest, ok := strings.CutPrefix(description, "{'descr': ")
	descr, rest, ok1 := strings.Cut(rest, ", 'fortran_order': ")
	fortran, rest, ok2 := strings.Cut(rest, ", 'shape': (")
	shape, rest, ok3 := strings.Cut(rest, "), }")
	end, ok4 := strings.CutSuffix(rest, "\n")
	ok = ok && ok1 && ok2 && ok3 && ok4 && strings.Trim(end, " ") == "" &&
		isDescr(descr) && (fortran == "True" || fortran == "False") && isAxes(shape)
	return descr, fortran, shape, ok
}

// isDescr reports whether a text is that of a type: 'a string', or [(a list of fields)].
func isDescr(text string) bool {
	n := len(text)
	switch {
	case n >= 2 && text[0] == '\'' && text[n-1] == '\'':
		return !strings.ContainsAny(text[1:n-1], "'{}:")
	case n >= 4 && strings.HasPrefix(text, "[(") && strings.HasSuffix(text, ")]"):
		return !strings.ContainsAny(text, "{}:")
	}
	return false
}

// isAxes reports whether a text is whole numbers with commas between them and, perhaps, behind them.
func isAxes(text string) bool {
	for text != "" {
		digits := strings.TrimPrefix(text, "-")
		rest := strings.TrimLeft(digits, "0123456789")
		if len(rest) == len(digits) {
			return false
		}
		if rest == "" {
			return true
		}
		if rest[0] != ',' {
			return false
		}
		text = strings.TrimPrefix(rest[1:], " ")
	}
	return true
}

// parseDescription finds the shape and the type.
func (a *Array) parseDescription(description []byte) error {
	descr, fortran, shape, ok := cutForm(string(description))
	if !ok {
		return errors.New("corrupt header, or not in the form that NumPy writes")
	}
	if fortran == "True" {
		return errors.New("in Fortran order; save it with numpy.ascontiguousarray")
	}
	for axis := range strings.FieldsFuncSeq(shape, func(r rune) bool { return r == ',' || r == ' ' }) {
		d, err := strconv.Atoi(axis)
		if err != nil {
			return fmt.Errorf("shape (%s) is impossible", shape)
		}
		a.Shape = append(a.Shape, d)
	}
	var err error
	a.Dtype, err = parseDtype(strings.Trim(descr, "'"))
	return err
}

// maxEmpty is the most rows of an array without elements, be they its first axis or
// its second: they cost time and memory even if nothing is in them.
const maxEmpty = 1 << 20

// checkSize reports a shape that is impossible or does not fit the file.
func (a *Array) checkSize(size int64) error {
	bytes := int64(a.Dtype.Size)
	for _, d := range a.Shape {
		if d < 0 || d > 0 && bytes > math.MaxInt/int64(d) {
			return fmt.Errorf("shape %s is impossible", Tuple(a.Shape))
		}
		bytes *= int64(d)
	}
	if rows := a.Shape[:min(2, len(a.Shape))]; bytes == 0 && len(rows) > 0 && slices.Max(rows) > maxEmpty {
		return fmt.Errorf("shape %s has no elements, and more rows of them than can be meant", Tuple(a.Shape))
	}
	switch have := size - int64(len(a.Header)); {
	case have < bytes:
		return fmt.Errorf("truncated: %s of %s takes %d bytes, the file has %d", Tuple(a.Shape), a.Dtype, bytes, have)
	case have > bytes:
		return fmt.Errorf("%d bytes follow the data of shape %s", have-bytes, Tuple(a.Shape))
	}
	return nil
}

// Tuple writes a shape as in "(3,4)".
func Tuple(shape []int) string {
	return "(" + strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", ","), "[]") + ")"
}

// Dtype is an element type of NumPy.
type Dtype struct {
	Kind  byte // 'f' for floats, 'i' for signed integers, 'u' for unsigned ones
	Size  int  // of an element, in bytes
	Order binary.ByteOrder
}

var kinds = map[byte]string{'f': "float", 'i': "int", 'u': "uint"}

// parseDtype reads a type as in "<f4".
func parseDtype(s string) (Dtype, error) {
	if len(s) == 3 && strings.IndexByte("<>|=", s[0]) >= 0 && kinds[s[1]] != "" && strings.IndexByte("1248", s[2]) >= 0 && s[1:] != "f1" {
		d := Dtype{Kind: s[1], Size: int(s[2] - '0'), Order: binary.LittleEndian}
		if s[0] == '>' {
			d.Order = binary.BigEndian
		}
		return d, nil
	}
	return Dtype{}, fmt.Errorf("dtype %q: neither floats nor integers", s)
}

// String returns NumPy's name of the type, as in "float32".
func (d Dtype) String() string { return fmt.Sprint(kinds[d.Kind], 8*d.Size) }

// Element is what the elements of an array are read as: floats of NumPy's float16, float32 and
// float64 as either, integers of any width as int.
type Element interface{ float32 | float64 | int }

// CheckType reports an array whose elements cannot be read as T.
func CheckType[T Element](a *Array) error {
	want, ok := "floats", a.Dtype.Kind == 'f'
	if _, isInt := any(T(0)).(int); isInt {
		want, ok = "integers", a.Dtype.Kind != 'f'
	}
	if !ok {
		return fmt.Errorf("%s: dtype %s: want %s", a.Name, a.Dtype, want)
	}
	return nil
}

// ReadFile reads the whole array in a file. Its floats must be of type T, so that
// none is rounded.
func ReadFile[T Element](name string) (data []T, shape []int, err error) {
	a, err := Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer a.Close()
	if want := fmt.Sprintf("%T", T(0)); a.Dtype.Kind == 'f' && a.Dtype.String() != want {
		return nil, nil, fmt.Errorf("%s: dtype %s: want %s", name, a.Dtype, want)
	}
	data, err = ReadAll[T](a)
	return data, a.Shape, err
}

// ReadAll reads all elements.
func ReadAll[T Element](a *Array) ([]T, error) {
	if err := CheckType[T](a); err != nil {
		return nil, err
	}
	data := make([]T, a.Len())
	return data, Read(data, a, 0)
}

// chunk is how many elements go from file to memory at a time.
const chunk = 1 << 17

// Read reads len(dst) elements in C order, from the index first on. It rounds float64
// where T is float32. An integer that does not fit an int is an error.
func Read[T Element](dst []T, a *Array, first int) error {
	if err := CheckType[T](a); err != nil {
		return err
	}
	if a.raw != nil {
		from := a.Offset(first)
		if n := decode(dst, a.raw[from:a.Offset(first+len(dst))], a.Dtype); n < len(dst) {
			return fmt.Errorf("%s: element %d is too large", a.Name, first+n)
		}
		return nil
	}
	raw := make([]byte, min(chunk, len(dst))*a.Dtype.Size)
	for part := range slices.Chunk(dst, chunk) {
		raw := raw[:len(part)*a.Dtype.Size]
		if n, err := a.data.ReadAt(raw, a.Offset(first)); n < len(raw) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF // the file has been cut since it was opened
			}
			return fmt.Errorf("%s: %w", a.Name, err)
		}
		if n := decode(part, raw, a.Dtype); n < len(part) {
			return fmt.Errorf("%s: element %d is too large", a.Name, first+n)
		}
		first += len(part)
	}
	return nil
}

// decode returns how many elements it decoded: all, or those before an integer that
// does not fit an int.
func decode[T Element](dst []T, raw []byte, d Dtype) int {
	switch {
	case d.Kind != 'f':
		for i := range dst {
			v, ok := d.decodeInt(raw[i*d.Size:])
			if !ok {
				return i
			}
			dst[i] = T(v)
		}
	case d.Size == 2:
		for i := range dst {
			dst[i] = T(fp.FromFloat16(d.Order.Uint16(raw[2*i:])))
		}
	case d.Size == 4 && d.Order == binary.LittleEndian: // without a call for each element
		for i := range dst {
			dst[i] = T(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
		}
	case d.Size == 4:
		for i := range dst {
			dst[i] = T(math.Float32frombits(d.Order.Uint32(raw[4*i:])))
		}
	case d.Order == binary.LittleEndian:
		for i := range dst {
			dst[i] = T(math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:])))
		}
	default:
		for i := range dst {
			dst[i] = T(math.Float64frombits(d.Order.Uint64(raw[8*i:])))
		}
	}
	return len(dst)
}

// decodeInt decodes one integer; false if it does not fit an int.
func (d Dtype) decodeInt(raw []byte) (int, bool) {
	var v uint64
	switch d.Size {
	case 1:
		v = uint64(raw[0])
	case 2:
		v = uint64(d.Order.Uint16(raw))
	case 4:
		v = uint64(d.Order.Uint32(raw))
	case 8:
		v = d.Order.Uint64(raw)
	}
	if d.Kind == 'u' {
		return int(v), v <= math.MaxInt
	}
	unused := 64 - 8*d.Size
	signed := int64(v<<unused) >> unused
	return int(signed), int64(int(signed)) == signed
}

// Encode writes floats to raw as a file of type d has them, which is a float. It rounds to the
// nearest number of d.
func Encode[F float32 | float64](raw []byte, src []F, d Dtype) {
	switch d.Size {
	case 2:
		for i, v := range src {
			d.Order.PutUint16(raw[2*i:], fp.ToFloat16(float64(v)))
		}
	case 4:
		for i, v := range src {
			d.Order.PutUint32(raw[4*i:], math.Float32bits(float32(v)))
		}
	default:
		for i, v := range src {
			d.Order.PutUint64(raw[8*i:], math.Float64bits(float64(v)))
		}
	}
}
