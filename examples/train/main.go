// Command train teaches a small network to read noisy lines of text with CTC, and draws how it
// learns. Read train below first, then lines.go and network.go.
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
	"gonum.org/v1/plot/plotter"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/decode"
)

func main() {
	steps := flag.Uint("steps", 2000, "training `steps`")
	file := flag.String("o", "picture.png", "`file` for the picture, a PNG")
	flag.Parse()
	bar := progressbar.NewOptions(int(*steps), progressbar.OptionSetWriter(os.Stderr), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(term.IsTerminal(int(os.Stderr.Fd()))))
	h, err := train(int(*steps), bar)
	if err == nil {
		err = h.draw(*file)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// history is what a training leaves for the picture.
type history struct {
	losses plotter.XYs // of each step, of each line, in nats per character
	unseen batch       // lines that are not trained on
	looks  []look      // at these, every 100 steps and in the end
}

// look is how far a network is.
type look struct {
	step      int
	errorRate float64
	text      string         // that it reads in the first unseen line
	spans     []trellis.Span // of that text's characters
	emissions []float32      // probabilities of that line, (T,C)
}

// train draws the same lines in every run, and looks at others than it trains on.
func train(steps int, bar *progressbar.ProgressBar) (*history, error) {
	r, began := rand.New(rand.NewPCG(1, 0)), time.Now()
	n, h := newNetwork(r), &history{unseen: newBatch(rand.New(rand.NewPCG(5, 0)), 200, "all trellises")}
	ctc := trellis.CTCLoss[float32]{Scores: trellis.Logits, BatchFirst: true} // its blank is class 0
	for step := 0; ; step++ {
		if step%100 == 0 || step == steps {
			l, err := n.read(h.unseen, step)
			if err != nil {
				return nil, err
			}
			h.looks = append(h.looks, l)
			bar.Clear()
			fmt.Printf("%5d steps, %3.0f s: %5.1f %% of unseen characters wrong, %q\n", step, time.Since(began).Seconds(), 100*l.errorRate, l.text)
		}
		if step == steps {
			return h, nil
		}

		b := newBatch(r, 16)
		logits := n.forward(b)
		targets, lengths := b.labels()
		losses, grad := make([]float32, len(b.texts)), make([]float32, len(logits.Data))
		loss, err := ctc.LossesGrad(losses, grad, logits, targets, b.frames, lengths)
		if err != nil {
			return nil, err
		}
		n.backward(grad)
		for _, c := range n {
			c.adam(step+1, 8e-3*min(float64(step+1)/100, 1-float64(step)/float64(steps)))
		}
		for i := range losses { // whose mean, for each character, is loss
			h.losses = append(h.losses, plotter.XY{X: float64(step), Y: float64(losses[i]) / float64(lengths[i])})
		}
		bar.Describe(fmt.Sprintf("%.3f nats per character", loss))
		bar.Add(1)
	}
}

// read has the network read lines. The error rate is how many characters of what it reads must be
// added, left out or replaced to make the texts, per character.
func (n network) read(b batch, step int) (look, error) {
	logits, wrong, all := n.forward(b), 0, 0
	readings, err := decode.Greedy[float32]{Scores: trellis.Logits, BatchFirst: true}.Decode(nil, logits, b.frames)
	if err != nil {
		return look{}, err
	}
	for i, text := range b.texts {
		wrong += levenshtein.ComputeDistance(spell(readings[i].Labels), text)
		all += len(text)
	}
	trellis.SoftmaxRows(logits.Data, logits)
	return look{step, float64(wrong) / float64(all), spell(readings[0].Labels), readings[0].Spans, logits.Data[:b.frames[0]*classes]}, nil
}
