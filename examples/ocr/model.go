//go:build cgo

package main

import (
	"fmt"
	"image"
	"os"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/gotrellis/trellis/tokens"
)

// recognise has PP-OCRv4 recognise the line of a picture.
func recognise(picture image.Image, text string, watch *stopwatch) (line, error) {
	library, model, characters, err := fetch()
	if err != nil {
		return line{}, err
	}
	watch.lap("fetching")

	l := line{picture: scale(picture), text: text}
	lines, err := os.ReadFile(characters)
	if err != nil {
		return line{}, err
	}
	if l.vocabulary, err = tokens.Parse([]byte("<blank>\n" + string(lines) + "\n \n")); err != nil {
		return line{}, err
	}
	pixels := input(l.picture)
	watch.lap("preparing")

	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return line{}, fmt.Errorf("%s: %w", library, err)
	}
	session, err := ort.NewDynamicAdvancedSession(model, []string{"x"}, []string{"softmax_11.tmp_0"}, nil)
	if err != nil {
		return line{}, err
	}
	watch.lap("session")

	x, err := ort.NewTensor(ort.NewShape(1, 3, height, int64(l.picture.Rect.Dx())), pixels)
	if err != nil {
		return line{}, err
	}
	outputs := []ort.Value{nil} // Run allocates it
	if err := session.Run([]ort.Value{x}, outputs); err != nil {
		return line{}, err
	}
	y := outputs[0].(*ort.Tensor[float32]) // (1,T,C), softmax is done
	l.emissions.Data = slices.Clone(y.GetData())
	for _, axis := range y.GetShape()[1:] {
		l.emissions.Shape = append(l.emissions.Shape, int(axis))
	}
	watch.lap("network")

	for _, part := range []interface{ Destroy() error }{y, session, x} { // that Go does not free
		if err := part.Destroy(); err != nil {
			return line{}, err
		}
	}
	err = ort.DestroyEnvironment()
	watch.lap("closing")
	return l, err
}
