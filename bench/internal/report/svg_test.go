package report

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func linear(rgb uint32) (c [3]float64) {
	for i := range c {
		v := float64(rgb>>(16-8*i)&0xff) / 255
		if c[i] = v / 12.92; v > 0.04045 {
			c[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return c
}

// luminance is that of WCAG 2.
func luminance(rgb uint32) float64 {
	c := linear(rgb)
	return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2]
}

func contrast(a, b uint32) float64 {
	x, y := luminance(a)+0.05, luminance(b)+0.05
	return max(x/y, y/x)
}

// visions are how linear RGB is seen: as it is, and without one kind of cones, by
// Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color
// Vision Deficiency, 2009.
var visions = map[string][3][3]float64{
	"usual":        {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
	"protanopia":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
	"deuteranopia": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
	"tritanopia":   {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
}

// lab is CIE 1976 L*a*b*, as seen.
func lab(rgb uint32, vision [3][3]float64) [3]float64 {
	c := linear(rgb)
	var s [3]float64
	for i, row := range vision {
		s[i] = min(1, max(0, row[0]*c[0]+row[1]*c[1]+row[2]*c[2]))
	}
	f := func(v float64) float64 {
		if v > 216.0/24389 {
			return math.Cbrt(v)
		}
		return (24389.0/27*v + 16) / 116
	}
	x := f((0.4124564*s[0] + 0.3575761*s[1] + 0.1804375*s[2]) / 0.95047)
	y := f(0.2126729*s[0] + 0.7151522*s[1] + 0.0721750*s[2])
	z := f((0.0193339*s[0] + 0.1191920*s[1] + 0.9503041*s[2]) / 1.08883)
	return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
}

// Lines stand out from both grounds, and lines of one chart from each other, however
// colours are seen.
func TestInks(t *testing.T) {
	palettes := map[string]func(ink) uint32{
		"light": func(i ink) uint32 { return i.light },
		"dark":  func(i ink) uint32 { return i.dark },
	}
	for name, of := range palettes {
		for _, i := range inks {
			if i != paper && i != grid && i != axis {
				assert.GreaterOrEqual(t, contrast(of(i), of(paper)), 3.5, "%s %06X", name, of(i))
			}
		}
		assert.GreaterOrEqual(t, contrast(of(quiet), of(paper)), 4.5, name)
		for vision, seen := range visions {
			for _, chart := range [][]ink{{vermilion, pink, green, blue}, ofMachines[:4]} {
				for i, a := range chart {
					for _, b := range chart[:i] {
						x, y := lab(of(a), seen), lab(of(b), seen)
						distance := math.Hypot(math.Hypot(x[0]-y[0], x[1]-y[1]), x[2]-y[2])
						assert.GreaterOrEqual(t, distance, 20.0, "%s, %s: %06X and %06X", name, vision, of(a), of(b))
					}
				}
			}
		}
	}
}

func TestBothPalettes(t *testing.T) {
	image, err := bothPalettes([]byte(`<?xml version="1.0"?>
<svg width="80pt" height="40pt"><g><path d="M0,0" style="fill:#FFFFFF"/><path style="fill:none;stroke:#004A9F"/>
<text style="font-family:Liberation Sans;fill:#1F2328">pt"</text></g></svg>`), `a & "b"`)
	require.NoError(t, err)
	assert.Equal(t, `<svg width="80" height="40">
<title>a &amp; &#34;b&#34;</title>
<style>
@media (prefers-color-scheme: dark) {
[style*="fill:#FFFFFF"] { fill:#0D1117 !important }
[style*="fill:#1F2328"] { fill:#E6EDF3 !important }
[style*="stroke:#004A9F"] { stroke:#4C94FF !important }
}
</style><g><path d="M0,0" style="fill:#FFFFFF"/><path style="fill:none;stroke:#004A9F"/>
<text style="font-family:Liberation Sans,Arial,Helvetica,sans-serif;fill:#1F2328">pt"</text></g></svg>`, string(image))

	_, err = bothPalettes([]byte("<html>"), "")
	assert.ErrorContains(t, err, "no SVG")
}
