package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/side"
)

const classes = 80

var (
	lengths = []int{50, 100, 200, 500, 1000, 2000, 4000} // frames; a fifth as many labels
	scales  = []float64{1, 5}                            // of standard normal logits
)

// point is how far gradients are from trellis' in float64: the largest absolute error
// of a derivative of one sequence's loss by a logit.
type point struct {
	scale          float64
	frames, labels int
	pytorch32      float64
	trellis32      float64
	pytorch64      float64
}

// agreement is how close PyTorch in float64 must be to the truth that float32 is
// compared with.
const agreement = 1e-9

// measure finds all points, and writes each.
func measure(peer *side.Side, out io.Writer) (points []point, err error) {
	fmt.Fprintf(out, "Largest errors of CTC's gradient, C=%d, beside trellis float64; %s.\n", classes, peer.About)
	for _, scale := range scales {
		for _, frames := range lengths {
			p, err := measureOne(peer, scale, frames)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(out, "logits × %g, T=%-4d S=%-3d PyTorch float32 %.2e, trellis float32 %.2e, PyTorch float64 %.2e\n",
				p.scale, p.frames, p.labels, p.pytorch32, p.trellis32, p.pytorch64)
			if !(p.pytorch64 <= agreement) {
				return nil, fmt.Errorf("PyTorch and trellis differ by %.2e in float64: neither is the truth", p.pytorch64)
			}
			points = append(points, p)
		}
	}
	fmt.Fprintf(out, "PyTorch float64 agrees within %g everywhere.\n", agreement)
	return points, nil
}

func measureOne(peer *side.Side, scale float64, frames int) (p point, err error) {
	p = point{scale: scale, frames: frames, labels: frames / 5}
	j := side.Job{Op: "CTC gradient", Workers: 1, Shape: []int{frames, 1, classes}, Targets: []int{p.labels, p.labels}, Scale: scale}
	truth, err := gradient[float64](j)
	if err != nil {
		return p, err
	}
	ours, err := gradient[float32](j)
	if err != nil {
		return p, err
	}
	p.trellis32 = farthest(ours, truth)
	for typ, far := range map[string]*float64{"float32": &p.pytorch32, "float64": &p.pytorch64} {
		j.Type = typ
		a, err := peer.Ask(side.Request{Job: j})
		if err != nil {
			return p, err
		}
		if len(a.Values) != len(truth) {
			return p, fmt.Errorf("%s: %d derivatives for %d logits", peer.About, len(a.Values), len(truth))
		}
		*far = farthest(a.Values, truth)
	}
	return p, nil
}

// gradient is trellis' of a job.
func gradient[F trellis.Float](j side.Job) ([]F, error) {
	x := trellis.Tensor[F]{Data: side.Normal[F](j), Shape: j.Shape}
	targets, lengths := side.Targets(j)
	grad := make([]F, len(x.Data))
	_, err := trellis.CTCLoss[F]{FromLogits: true, Reduction: trellis.Sum}.Grad(grad, x, targets, nil, lengths)
	return grad, err
}

// farthest returns the largest difference, NaN if there is one.
func farthest[F trellis.Float](x []F, truth []float64) (far float64) {
	for i, v := range x {
		far = math.Max(far, math.Abs(float64(v)-truth[i]))
	}
	return far
}

// table writes the points for others to check.
func table(points []point) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write([]string{"logits_scale", "frames", "labels", "classes", "pytorch_float32", "trellis_float32", "pytorch_float64"})
	for _, p := range points {
		line := []string{fmt.Sprint(p.scale), strconv.Itoa(p.frames), strconv.Itoa(p.labels), strconv.Itoa(classes)}
		for _, far := range []float64{p.pytorch32, p.trellis32, p.pytorch64} {
			line = append(line, strconv.FormatFloat(far, 'e', 3, 64))
		}
		_ = w.Write(line)
	}
	w.Flush()
	return out.Bytes()
}

// drawErrors draws the float32 errors over the frames, a line for each scale.
func drawErrors(points []point, peer string) ([]byte, error) {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.X.Label.Text = fmt.Sprintf("frames (a fifth as many labels, %d classes, standard normal logits)", classes)
	p.Y.Label.Text = "largest error of a float32 derivative"
	// Scales are linear, of logarithms: plot.LogScale makes room for an axis' label
	// where it does not stand.
	var across, up plot.ConstantTicks
	for _, frames := range lengths {
		across = append(across, plot.Tick{Value: math.Log10(float64(frames)), Label: strconv.Itoa(frames)})
	}
	for i, label := range []string{"10⁻⁸", "10⁻⁷", "10⁻⁶", "10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1"} {
		up = append(up, plot.Tick{Value: float64(i - 8), Label: label})
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = across, up
	p.Add(plotter.NewGrid())

	for _, who := range []struct {
		name  string
		color color.Color
		far   func(point) float64
	}{
		{peer, color.RGBA{0xd9, 0x48, 0x0f, 0xff}, func(p point) float64 { return p.pytorch32 }},
		{"trellis", color.RGBA{0x1f, 0x77, 0xb4, 0xff}, func(p point) float64 { return p.trellis32 }},
	} {
		for i, scale := range scales {
			var line plotter.XYs
			for _, p := range points {
				if p.scale == scale {
					line = append(line, plotter.XY{X: math.Log10(float64(p.frames)), Y: math.Log10(who.far(p))})
				}
			}
			lines, marks, err := plotter.NewLinePoints(line)
			if err != nil {
				return nil, err
			}
			lines.Color, marks.Color = who.color, who.color
			lines.Width = vg.Points(1.5)
			if i > 0 {
				lines.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
			}
			p.Add(lines, marks)
			p.Legend.Add(fmt.Sprintf("%s, logits × %g", who.name, scale), lines, marks)
		}
	}
	p.Y.Min, p.Y.Max = -8, 1 // the legend has its place above the lines
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Font.Size = vg.Points(10)

	w, err := p.WriterTo(16*vg.Centimeter, 11*vg.Centimeter, "svg")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if _, err := w.WriteTo(&out); err != nil {
		return nil, err
	}
	// Text is measured with Liberation Sans, which few browsers have; Arial is as wide.
	return bytes.ReplaceAll(out.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,sans-serif")), nil
}
