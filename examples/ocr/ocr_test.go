package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
)

// What the recogniser has written once is decoded, aligned and scored, and the results agree.
func TestRead(t *testing.T) {
	l, err := keptLine()
	require.NoError(t, err)
	r, err := l.read(&stopwatch{})
	require.NoError(t, err)
	assert.Equal(t, example, l.spell(r.greedy.Labels))
	require.Len(t, r.hypotheses, 3)
	best := r.hypotheses[0]
	assert.Equal(t, example, l.spell(best.Labels))
	assert.InDelta(t, 0.577, r.loss, 0.001)
	assert.InDelta(t, -r.loss, best.LogProbExact, 0.002, "but for classes that are unlikely in a frame")
	assert.Greater(t, best.LogProbExact, r.greedy.Score)

	spans := make([]trellis.Span, len(best.Labels))
	aligner := trellis.CTCAligner[float32]{Scores: trellis.Probabilities, Confidence: true}
	require.NoError(t, aligner.Align(spans, nil, l.emissions, best.Labels, nil, nil))
	for i, s := range spans {
		assert.Equal(t, []int{s.Start, s.End}, []int{best.Spans[i].Start, best.Spans[i].End})
		assert.InDelta(t, s.Score, best.Spans[i].Score, 1e-6)
		assert.InDelta(t, s.Confidence, best.Spans[i].Confidence, 0.002)
	}
	var words []string
	for _, w := range r.words {
		words = append(words, l.spell(best.Labels[w.From:w.To]))
	}
	assert.Equal(t, []string{"Will", "Illinois", "sell", "1001", "oils?"}, words)
}

func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "read.png")
	var out bytes.Buffer
	require.NoError(t, run(&out, "", "", true, file))
	assert.Contains(t, out.String(), `or      "Will Illinois sell 100l oils?"  p = 0.06`)
	assert.Contains(t, out.String(), "1001      30–38")
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	picture, err := png.Decode(f)
	require.NoError(t, err)
	l, err := keptLine()
	require.NoError(t, err)
	r, err := l.read(&stopwatch{})
	require.NoError(t, err)
	for i, s := range r.hypotheses[0].Spans {
		corner := color.NRGBAModel.Convert(picture.At(edge+s.Start*frameWidth+2, boxTop+2))
		want := read
		if l.vocabulary.Token(r.hypotheses[0].Labels[i]) == " " {
			want = spaces
		}
		assert.Equal(t, want, corner, "box %d", i)
	}
	assert.Error(t, run(&out, "", "x", true, file))
}

// Before and behind the text spaces count as blanks, in it they do not.
func TestTrimMargins(t *testing.T) {
	emissions := trellis.Tensor[float32]{Shape: []int{6, 3}, Data: []float32{ // the blank, a, the space
		0.3, 0, 0.7,
		0.8, 0, 0.2,
		0.1, 0.9, 0,
		0.25, 0, 0.75,
		0.2, 0.7, 0.1,
		0.25, 0.25, 0.5,
	}}
	trimMargins(emissions, 0, 2)
	assert.Equal(t, []float32{
		1, 0, 0,
		1, 0, 0,
		0.1, 0.9, 0,
		0.25, 0, 0.75,
		0.2, 0.7, 0.1,
		0.75, 0.25, 0,
	}, emissions.Data)
	trimMargins(trellis.Tensor[float32]{Shape: []int{2, 3}, Data: make([]float32, 6)}, 0, 2) // only margin
}

// A picture is put on white, scaled to the height, and taken apart in the order blue, green, red.
func TestInput(t *testing.T) {
	picture := image.NewNRGBA(image.Rect(10, 10, 10+4*height, 10+2*height))
	for x := 10; x < 10+2*height; x++ {
		for y := 10; y < 10+2*height; y++ {
			picture.Set(x, y, color.NRGBA{R: 255, G: 51, A: 255})
		}
	}
	scaled := scale(picture)
	require.Equal(t, image.Rect(0, 0, 2*height, height), scaled.Rect)
	x := input(scaled)
	require.Len(t, x, 3*2*height*height)
	row := 20 * 2 * height
	for channel, want := range []float64{-1, -0.6, 1} {
		plane := x[channel*2*height*height:]
		assert.InDelta(t, want, plane[row+10], 1e-6)
		assert.Equal(t, float32(1), plane[row+2*height-10], "white")
	}
	assert.Equal(t, 8, scale(image.NewGray(image.Rect(0, 0, 1, 1000))).Rect.Dx())

	_, err := drawText("日")
	assert.ErrorContains(t, err, "'日'")
}

// The network's work grows with the square of the width.
func TestShape(t *testing.T) {
	assert.NoError(t, checkShape(image.Rect(10, 10, 10+maxAspect, 11)))
	assert.EqualError(t, checkShape(image.Rect(0, 0, 20000, 4)), "a picture of 20000×4 pixels: want one line, at most 100 times as wide as high")
	assert.Error(t, checkShape(image.Rect(0, 0, 0, 4)))
	_, err := newLine("", strings.Repeat("wide ", 1000), false, &stopwatch{})
	assert.ErrorContains(t, err, "want one line")
}

func TestReadPicture(t *testing.T) {
	file := filepath.Join(t.TempDir(), "line.jpg")
	var data bytes.Buffer
	require.NoError(t, jpeg.Encode(&data, image.NewGray(image.Rect(0, 0, 30, 20)), nil))
	require.NoError(t, os.WriteFile(file, data.Bytes(), 0o666))
	picture, err := readPicture(file)
	require.NoError(t, err)
	assert.Equal(t, image.Rect(0, 0, 30, 20), picture.Bounds())
	require.NoError(t, os.WriteFile(file, []byte("text"), 0o666))
	_, err = readPicture(file)
	assert.ErrorContains(t, err, "line.jpg: image: unknown format")
}

// What npm has fetched is unpacked if it has the checksum, and is removed if not.
func TestUnpack(t *testing.T) {
	var data bytes.Buffer
	zipped := gzip.NewWriter(&data)
	archive := tar.NewWriter(zipped)
	for _, name := range []string{"package/other", "package/assets/model"} {
		require.NoError(t, archive.WriteHeader(&tar.Header{Name: name, Mode: 0o666, Size: int64(len(name))}))
		_, err := archive.Write([]byte(name))
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	require.NoError(t, zipped.Close())
	sum := sha512.Sum512(data.Bytes())
	dir := t.TempDir()
	b := bundle{"none@0.0.0", "none.tgz", base64.StdEncoding.EncodeToString(sum[:]), "", []string{"assets/model"}}
	file := filepath.Join(dir, b.file)

	require.NoError(t, os.WriteFile(file, append(data.Bytes(), 0), 0o666))
	_, err := b.fetch(dir)
	assert.ErrorContains(t, err, "checksum")
	assert.NoFileExists(t, file)

	t.Setenv("PATH", "")
	_, err = b.fetch(dir)
	assert.ErrorContains(t, err, "put none.tgz into "+dir)

	require.NoError(t, os.WriteFile(file, data.Bytes(), 0o666))
	for range 2 { // and then it is there
		files, err := b.fetch(dir)
		require.NoError(t, err)
		assert.NoFileExists(t, file)
		require.Equal(t, []string{filepath.Join(dir, "model")}, files)
		got, err := os.ReadFile(files[0])
		require.NoError(t, err)
		assert.Equal(t, "package/assets/model", string(got))
	}

	b.members = append(b.members, "assets/missing")
	require.NoError(t, os.WriteFile(file, data.Bytes(), 0o666))
	_, err = b.fetch(dir)
	assert.ErrorIs(t, err, io.EOF)
}
