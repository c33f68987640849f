package side

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
)

// mix is splitmix64: the i-th of a sequence of random numbers that Python can make
// too.
func mix(i uint64) uint64 {
	z := (i + 1) * 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// uniform returns a number between 0 and 1 from random bits.
func uniform(bits uint64) float64 { return (float64(bits>>11) + 0.5) * 0x1p-53 }

// normals are standard normal, by Box and Muller. There are as many as keep making
// them quick; longer inputs repeat them.
var normals = sync.OnceValue(func() []float64 {
	x := make([]float64, 1000003)
	for i := range x {
		u, v := uniform(mix(uint64(2*i))), uniform(mix(uint64(2*i+1)))
		x[i] = math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
	}
	return x
})

// Scores returns the job's inputs: standard normal numbers, scaled and masked, and
// rounded to float32 so that both types have the same.
func Scores[F trellis.Float](j Job) ([]F, error) {
	x := Normal[F](j)
	if j.Mask.Share == 0 {
		return x, nil
	}
	score, err := strconv.ParseFloat(j.Mask.Score, 64)
	for i := range x {
		if uniform(mix(uint64(i)+1<<32)) < j.Mask.Share {
			x[i] = F(float32(score))
		}
	}
	return x, err
}

// Normal returns as many standard normal numbers as the job has inputs, scaled.
func Normal[F trellis.Float](j Job) []F {
	dst, src, scale := make([]F, j.Inputs()), normals(), cmp.Or(j.Scale, 1)
	done := min(len(dst), len(src))
	for i := range done {
		dst[i] = F(float32(scale * src[i]))
	}
	for done > 0 && done < len(dst) {
		done += copy(dst[done:], dst[:done])
	}
	return dst
}

// Probabilities returns as many random numbers as the job has inputs; those of a position
// add up to about 1.
func Probabilities[F trellis.Float](j Job) []F {
	dst := make([]F, j.Inputs())
	for i := range dst {
		dst[i] = F(float32(2 * uniform(mix(uint64(i))) / float64(j.Shape[1])))
	}
	return dst
}

// Factors returns n random numbers between 0.5 and 1.5: weights of classes, or what
// losses are multiplied by.
func Factors[F trellis.Float](n int) []F {
	dst := make([]F, n)
	for i := range dst {
		dst[i] = F(float32(0.5 + uniform(mix(uint64(i)))))
	}
	return dst
}

// Classes returns n random classes.
func Classes(n, of int) []int {
	y := make([]int, n)
	for i := range y {
		y[i] = int(mix(uint64(i)) % uint64(of))
	}
	return y
}

// Targets returns random targets for CTC, padded to rows, and their lengths. The blank
// is class 0.
func Targets(j Job) (targets, lengths []int) {
	least, most := j.Targets[0], j.Targets[1]
	targets = Classes(j.Shape[1]*most, j.Shape[2]-1)
	for i := range targets {
		targets[i]++
	}
	lengths = Classes(j.Shape[1], most-least+1)
	for i := range lengths {
		lengths[i] += least
	}
	return targets, lengths
}

// Batch is what CTC computes from: scores of the job's shape, and targets, padded to rows or
// one after the other.
type Batch[F trellis.Float] struct {
	Scores           []F
	Blank            int
	Targets, Lengths []int
	Frames           []int // of each sequence; nil if all have as many
}

// BatchOf returns a job's scores and targets, random or recorded.
func BatchOf[F trellis.Float](j Job) (b Batch[F], err error) {
	if j.Recording == "" {
		b.Scores, err = Scores[F](j)
		b.Targets, b.Lengths = Targets(j)
	} else {
		var r Recording
		r, err = ReadRecording(j.Recording)
		b = Batch[F]{Blank: r.Blank, Targets: r.Targets, Lengths: r.Lengths, Frames: r.Frames}
		for _, v := range r.scores {
			b.Scores = append(b.Scores, F(v))
		}
	}
	if err == nil && j.LogProbs {
		trellis.LogSoftmaxRows(b.Scores, trellis.Tensor[F]{Data: b.Scores, Shape: j.Shape})
	}
	return b, err
}

// Recording is what a network wrote for some sequences, and what it should have read.
type Recording struct {
	Blank   int
	Targets []int `json:"target_tokens"`  // of all sequences, one after the other
	Lengths []int `json:"target_lengths"` // not in the file of one sequence
	Frames  []int `json:"input_lengths"`  // neither
	Shape   []int `json:"-"`              // (T,N,C)
	scores  []float32
}

// ReadRecording reads index.json in a folder, and emissions.npy, which is (T,C) or (N,T,C).
func ReadRecording(folder string) (r Recording, err error) {
	index, err := os.ReadFile(filepath.Join(folder, "index.json"))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(index, &r); err != nil {
		return r, fmt.Errorf("%s: %w", folder, err)
	}
	scores, shape, err := npy.ReadFile[float32](filepath.Join(folder, "emissions.npy"))
	if err != nil {
		return r, err
	}
	switch len(shape) {
	case 2:
		r.scores, r.Shape = scores, []int{shape[0], 1, shape[1]}
		r.Lengths, r.Frames = []int{len(r.Targets)}, shape[:1]
	case 3:
		r.Shape = []int{shape[1], shape[0], shape[2]}
		for t := range shape[1] {
			for n := range shape[0] {
				r.scores = append(r.scores, scores[(n*shape[1]+t)*shape[2]:][:shape[2]]...)
			}
		}
	default:
		return r, fmt.Errorf("%s: scores of shape %s: want (T,C) or (N,T,C)", folder, npy.Tuple(shape))
	}
	return r, nil
}

// States is as of a job.
func (r Recording) States() (n int) {
	for i, labels := range r.Lengths {
		n += r.Frames[i] * (2*labels + 1)
	}
	return n
}
