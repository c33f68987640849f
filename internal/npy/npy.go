// Package npy reads arrays that NumPy saved: as much of the format as the tests
// of trellis need.
package npy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Element is the set of element types.
type Element interface {
	float32 | float64 | int32 | int64
}

const magic = "\x93NUMPY"

// maxHeader bounds what a damaged length makes Read allocate. NumPy warns about
// headers above 10000 bytes.
const maxHeader = 1 << 16

// ReadFile reads the array in a file.
func ReadFile[T Element](name string) (data []T, shape []int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	data, shape, err = Read[T](f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, shape, nil
}

// Read reads one array in C order whose elements are of type T, in any byte
// order. The shape of a scalar is empty, not nil.
func Read[T Element](r io.Reader) (data []T, shape []int, err error) {
	header, err := readHeader(r)
	if err != nil {
		return nil, nil, err
	}
	order, err := parseType[T](header)
	if err != nil {
		return nil, nil, err
	}
	shape, count, err := parseShape(header)
	if err != nil {
		return nil, nil, err
	}
	data = make([]T, count)
	if err := binary.Read(r, order, data); err != nil {
		return nil, nil, fmt.Errorf("npy: %d elements: %w", count, err)
	}
	return data, shape, nil
}

// readHeader returns the Python dictionary that describes the array. Its length
// has 2 bytes in version 1 of the format, and 4 in versions 2 and 3, which differ
// in the encoding of names that only structured types have.
func readHeader(r io.Reader) (string, error) {
	var prefix [len(magic) + 2]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return "", fmt.Errorf("npy: magic string: %w", err)
	}
	if string(prefix[:len(magic)]) != magic {
		return "", errors.New("npy: no magic string")
	}
	var length [4]byte
	size := length[:]
	switch version := prefix[len(magic)]; version {
	case 1:
		size = length[:2]
	case 2, 3:
	default:
		return "", fmt.Errorf("npy: version %d", version)
	}
	if _, err := io.ReadFull(r, size); err != nil {
		return "", fmt.Errorf("npy: header length: %w", err)
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n > maxHeader {
		return "", fmt.Errorf("npy: header of %d bytes", n)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return "", fmt.Errorf("npy: header: %w", err)
	}
	return string(header), nil
}

var (
	typeField  = regexp.MustCompile(`'descr':\s*'([<>])([a-z]\d+)'`)
	orderField = regexp.MustCompile(`'fortran_order':\s*False`)
	shapeField = regexp.MustCompile(`'shape':\s*\(([\d, ]*)\)`)
)

// parseType returns the byte order, after a check of everything else that
// matters to how elements are stored.
func parseType[T Element](header string) (binary.ByteOrder, error) {
	match := typeField.FindStringSubmatch(header)
	if match == nil {
		return nil, fmt.Errorf("npy: no simple type in header %q", header)
	}
	var zero T
	want := map[any]string{float32(0): "f4", float64(0): "f8", int32(0): "i4", int64(0): "i8"}[zero]
	if match[2] != want {
		return nil, fmt.Errorf("npy: elements are %s, not %s", match[2], want)
	}
	if !orderField.MatchString(header) {
		return nil, fmt.Errorf("npy: not in C order: header %q", header)
	}
	if match[1] == ">" {
		return binary.BigEndian, nil
	}
	return binary.LittleEndian, nil
}

// parseShape returns the shape and its product.
func parseShape(header string) (shape []int, count int, err error) {
	match := shapeField.FindStringSubmatch(header)
	if match == nil {
		return nil, 0, fmt.Errorf("npy: no shape in header %q", header)
	}
	shape, count = []int{}, 1
	for axis := range strings.FieldsFuncSeq(match[1], func(r rune) bool { return r == ',' || r == ' ' }) {
		d, err := strconv.Atoi(axis)
		if err != nil {
			return nil, 0, fmt.Errorf("npy: shape (%s): %w", match[1], err)
		}
		if d > 0 && count > math.MaxInt/8/d {
			return nil, 0, fmt.Errorf("npy: shape (%s) is too large", match[1])
		}
		shape, count = append(shape, d), count*d
	}
	return shape, count, nil
}
