//go:build cgo

package main

import (
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/gotrellis/trellis/tokens"
)

// recognise has PP-OCRv4 recognise the line of a picture.
func recognise(picture image.Image, text string, watch *stopwatch) (line, error) {
	library, dir, err := fetch()
	if err != nil {
		return line{}, err
	}
	watch.lap("fetching")

	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return line{}, fmt.Errorf("%s: %w", library, err)
	}
	defer ort.DestroyEnvironment()
	session, err := ort.NewDynamicAdvancedSession(filepath.Join(dir, modelFile), []string{"x"}, []string{"softmax_11.tmp_0"}, nil)
	if err != nil {
		return line{}, err
	}
	defer session.Destroy()
	watch.lap("session")

	l := line{picture: scale(picture), text: text}
	pixels := input(l.picture)
	watch.lap("scaling")

	x, err := ort.NewTensor(ort.NewShape(1, 3, height, int64(l.picture.Rect.Dx())), pixels)
	if err != nil {
		return line{}, err
	}
	defer x.Destroy()
	outputs := []ort.Value{nil} // Run allocates it
	if err := session.Run([]ort.Value{x}, outputs); err != nil {
		return line{}, err
	}
	defer outputs[0].Destroy()
	y := outputs[0].(*ort.Tensor[float32]) // (1,T,C), softmax is done
	l.emissions.Data = slices.Clone(y.GetData())
	for _, axis := range y.GetShape()[1:] {
		l.emissions.Shape = append(l.emissions.Shape, int(axis))
	}
	watch.lap("network")

	keys, err := os.ReadFile(filepath.Join(dir, keysFile))
	if err != nil {
		return line{}, err
	}
	classes := append([]string{"<blank>"}, strings.Split(string(keys), "\n")...)
	l.vocabulary, err = tokens.New(append(classes, " "))
	if err == nil && l.vocabulary.Len() != l.emissions.Shape[1] {
		err = fmt.Errorf("%s has %d classes, not the network's %d", keysFile, l.vocabulary.Len(), l.emissions.Shape[1])
	}
	watch.lap("vocabulary")
	return l, err
}
