//go:build !cgo

package main

import (
	"errors"
	"image"
)

// recognise says what is missing: Go loads C libraries, such as ONNX Runtime, only with cgo.
func recognise(image.Image, string, *stopwatch) (line, error) {
	return line{}, errors.New(`ONNX Runtime needs cgo: install a C compiler (gcc or clang), and build with CGO_ENABLED=1.
"go run . -kept" needs neither, and reads what the recogniser has written once`)
}
