package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/gotrellis/trellis"
	"github.com/sbinet/npyio/npy"
)

// array is a .npy file whose header has been read and checked. The data stay in
// the file until they are asked for.
type array struct {
	name   string
	file   *os.File
	header []byte // all that comes before the data
	dtype  dtype
	shape  []int
}

// openArray opens a .npy file and checks that it holds what its header says.
func openArray(name string) (*array, error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name) // opening a pipe would wait for its other end
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	a := &array{name: name, file: file}
	if err := a.readHeader(); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return a, nil
}

func (a *array) Close() error { return a.file.Close() }

func (a *array) readHeader() error {
	info, err := a.file.Stat()
	if err != nil {
		return err
	}
	if a.header, err = rawHeader(a.file, info.Size()); err != nil {
		return err
	}
	header, err := parseHeader(a.header)
	if err != nil {
		return err
	}
	a.shape = header.Descr.Shape
	if header.Descr.Fortran {
		return errors.New("in Fortran order; save it with numpy.ascontiguousarray")
	}
	if a.dtype, err = parseDtype(header.Descr.Type); err != nil {
		return err
	}
	return a.checkSize(info.Size())
}

// maxHeader is more than the description of any array of numbers takes.
const maxHeader = 1 << 20

// rawHeader reads the magic string, two version bytes, the length of the
// description (in 2 bytes for version 1, in 4 since) and the description.
func rawHeader(r io.ReaderAt, size int64) ([]byte, error) {
	var start [12]byte
	if n, _ := r.ReadAt(start[:], 0); n < len(start) || [6]byte(start[:6]) != npy.Magic {
		return nil, errors.New("not a .npy file")
	}
	length := 10 + int64(binary.LittleEndian.Uint16(start[8:]))
	if start[6] > 1 {
		length = 12 + int64(binary.LittleEndian.Uint32(start[8:]))
	}
	if length > maxHeader {
		return nil, fmt.Errorf("corrupt header: a description of %d bytes", length)
	}
	if length > size {
		return nil, fmt.Errorf("truncated: the header takes %d bytes, the file has %d", length, size)
	}
	header := make([]byte, length)
	_, err := r.ReadAt(header, 0)
	return header, err
}

// numpysForm is the description as NumPy writes it, with some freedom in the shape.
var numpysForm = regexp.MustCompile(
	`^\{'descr': ('[^'{}:]*'|\[\([^{}:]*\)\]), 'fortran_order': (True|False), 'shape': \((-?\d+, ?)*(-?\d+)?\), \} *\n$`)

// parseHeader leaves the description to npyio, which takes NumPy's form for granted:
// it panics on some others, and finds another shape in some. It does not know
// version 3 either. That differs from 2 only in what it allows in the field names of
// structured types, which are refused anyway.
func parseHeader(raw []byte) (h npy.Header, err error) {
	description := raw[10:]
	if raw[6] > 1 {
		description = raw[12:]
	}
	if !numpysForm.Match(description) {
		return h, errors.New("corrupt header, or not in the form that NumPy writes")
	}
	if raw[6] == 3 {
		raw = bytes.Clone(raw)
		raw[6] = 2
	}
	r, err := npy.NewReader(bytes.NewReader(raw))
	if err != nil {
		return h, fmt.Errorf("corrupt header: %w", err)
	}
	return r.Header, nil
}

// maxEmpty is the most rows of an array without elements, be they its first axis or
// its second: they cost time and memory even if nothing is in them.
const maxEmpty = 1 << 20

// checkSize reports a shape that is impossible or does not fit the file.
func (a *array) checkSize(size int64) error {
	bytes := int64(a.dtype.size)
	for _, d := range a.shape {
		if d < 0 || d > 0 && bytes > math.MaxInt/int64(d) {
			return fmt.Errorf("shape %s is impossible", tuple(a.shape))
		}
		bytes *= int64(d)
	}
	if rows := a.shape[:min(2, len(a.shape))]; bytes == 0 && len(rows) > 0 && slices.Max(rows) > maxEmpty {
		return fmt.Errorf("shape %s has no elements, and more rows of them than can be meant", tuple(a.shape))
	}
	switch have := size - int64(len(a.header)); {
	case have < bytes:
		return fmt.Errorf("truncated: %s of %s takes %d bytes, the file has %d", tuple(a.shape), a.dtype, bytes, have)
	case have > bytes:
		return fmt.Errorf("%d bytes follow the data of shape %s", have-bytes, tuple(a.shape))
	}
	return nil
}

// tuple writes a shape as in "(3,4)".
func tuple(shape []int) string {
	return "(" + strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", ","), "[]") + ")"
}

// dtype is an element type of NumPy.
type dtype struct {
	kind  byte // 'f', 'i' or 'u'
	size  int  // bytes
	order binary.ByteOrder
}

var kinds = map[byte]string{'f': "float", 'i': "int", 'u': "uint"}

func parseDtype(s string) (dtype, error) {
	if len(s) == 3 && strings.IndexByte("<>|=", s[0]) >= 0 && kinds[s[1]] != "" && strings.IndexByte("1248", s[2]) >= 0 {
		d := dtype{kind: s[1], size: int(s[2] - '0'), order: binary.LittleEndian}
		if s[0] == '>' {
			d.order = binary.BigEndian
		}
		return d, nil
	}
	return dtype{}, fmt.Errorf("dtype %q: neither floats nor integers", s)
}

func (d dtype) String() string { return fmt.Sprint(kinds[d.kind], 8*d.size) }

// isFloat reports whether the elements are float32 or float64.
func (d dtype) isFloat() bool { return d.kind == 'f' && d.size >= 4 }

// wantFloats reports an array of anything else than float32 or float64.
func (a *array) wantFloats() error {
	if a.dtype.isFloat() {
		return nil
	}
	return fmt.Errorf("%s: dtype %s: want float32 or float64", a.name, a.dtype)
}

// chunk is how many elements go between file and memory at a time.
const chunk = 1 << 17

// readFloats reads elements from the index first on.
func readFloats[F trellis.Float](dst []F, a *array, first int) error {
	raw := make([]byte, min(chunk, len(dst))*a.dtype.size)
	at := int64(len(a.header)) + int64(first)*int64(a.dtype.size)
	for part := range slices.Chunk(dst, chunk) {
		n, err := a.file.ReadAt(raw[:len(part)*a.dtype.size], at)
		if n < len(part)*a.dtype.size {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		decodeFloats(part, raw, a.dtype)
		at += int64(n)
	}
	return nil
}

func decodeFloats[F trellis.Float](dst []F, raw []byte, d dtype) {
	if d.size == 4 {
		for i := range dst {
			dst[i] = F(math.Float32frombits(d.order.Uint32(raw[4*i:])))
		}
		return
	}
	for i := range dst {
		dst[i] = F(math.Float64frombits(d.order.Uint64(raw[8*i:])))
	}
}

func encodeFloats[F trellis.Float](raw []byte, src []F, d dtype) {
	if d.size == 4 {
		for i, v := range src {
			d.order.PutUint32(raw[4*i:], math.Float32bits(float32(v)))
		}
		return
	}
	for i, v := range src {
		d.order.PutUint64(raw[8*i:], math.Float64bits(float64(v)))
	}
}

// floats reads a whole array of floats.
func (a *array) floats() ([]float64, error) {
	if err := a.wantFloats(); err != nil {
		return nil, err
	}
	values := make([]float64, product(a.shape))
	return values, readFloats(values, a, 0)
}

// ints reads a whole array of integers.
func (a *array) ints() ([]int, error) {
	if a.dtype.kind == 'f' {
		return nil, fmt.Errorf("%s: dtype %s: want integers", a.name, a.dtype)
	}
	raw := make([]byte, product(a.shape)*a.dtype.size)
	if n, err := a.file.ReadAt(raw, int64(len(a.header))); n < len(raw) {
		return nil, fmt.Errorf("%s: %w", a.name, err)
	}
	values := make([]int, product(a.shape))
	for i := range values {
		v, ok := a.dtype.decodeInt(raw[i*a.dtype.size:])
		if !ok {
			return nil, fmt.Errorf("%s: element %d is too large", a.name, i)
		}
		values[i] = v
	}
	return values, nil
}

// decodeInt decodes one integer; false if it does not fit an int.
func (d dtype) decodeInt(raw []byte) (int, bool) {
	var v uint64
	switch d.size {
	case 1:
		v = uint64(raw[0])
	case 2:
		v = uint64(d.order.Uint16(raw))
	case 4:
		v = uint64(d.order.Uint32(raw))
	case 8:
		v = d.order.Uint64(raw)
	}
	if d.kind == 'u' {
		return int(v), v <= math.MaxInt
	}
	unused := 64 - 8*d.size
	signed := int64(v<<unused) >> unused
	return int(signed), int64(int(signed)) == signed
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
