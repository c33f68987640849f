// Command train makes the emissions in the folder above. It draws lines of text with the Go
// fonts, trains a small recogniser on them with trellis' CTC loss, and keeps what that
// writes for lines that it has not seen.
//
//	go -C bench run ./emissions/train
package main

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/decode"
	"github.com/gotrellis/trellis/internal/npy"
)

// The classes are the blank and these characters.
const characters = " ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.,'-?!"

const (
	steps = 3000
	noise = 0.07 // the most in training
)

func main() {
	folder := flag.String("o", "emissions", "`folder` for what is kept")
	flag.Parse()
	if err := run(*folder); err != nil {
		log.Fatal(err)
	}
}

func run(folder string) error {
	a, err := newArtist(1)
	if err != nil {
		return err
	}
	n, began := newNetwork(1+len(characters), a.Rand), time.Now()
	for step := range steps {
		var texts []string
		for range 12 {
			texts = append(texts, a.words(min(4+step/20, 16))) // short ones first
		}
		loss, err := n.train(a.draw(noise, texts...), step, 3e-3*(1-float64(step)/steps))
		if err != nil {
			return err
		}
		if step%250 == 0 {
			fmt.Printf("step %d: %.3f nats for a character\n", step, loss)
		}
	}
	fmt.Printf("trained for %s\n", time.Since(began).Round(time.Second))

	var unseen []string
	for range 500 {
		unseen = append(unseen, a.words(30))
	}
	rate, err := n.errorRate(a.draw(noise, unseen...))
	if err != nil {
		return err
	}
	fmt.Printf("%.2f %% of the characters of unseen lines are wrong\n", 100*rate)

	if a, err = newArtist(2); err != nil { // so that what is kept shows the same lines after any training
		return err
	}
	if err := keep(folder, "line", n, a.draw(noise, "Blanks keep two equal letters apart.")); err != nil {
		return err
	}
	return keep(folder, "batch", n, a.draw(2*noise, "Roses climb the old trellis.", "Will the bells still toll?",
		"Yes - we've seen it, Max!", "Quick, feed the zebra!"))
}

// encode returns the labels of all texts, and how many each has.
func encode(texts []string) (labels, lengths []int) {
	for _, r := range strings.Join(texts, "") {
		labels = append(labels, 1+strings.IndexRune(characters, r))
	}
	for _, text := range texts {
		lengths = append(lengths, len(text))
	}
	return labels, lengths
}

// errorRate is the distance of what the best classes spell from the texts, per character.
func (n network) errorRate(l lines) (float64, error) {
	greedy := decode.Greedy[float32]{Scores: trellis.Logits, BatchFirst: true}
	readings, err := greedy.Decode(nil, n.forward(l), l.frames)
	wrong := 0
	for i, r := range readings {
		read := ""
		for _, label := range r.Labels {
			read += characters[label-1 : label]
		}
		wrong += distance(read, l.texts[i])
	}
	return float64(wrong) / float64(len(strings.Join(l.texts, ""))), err
}

// distance is how many characters are to be added, left out or replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // distances of the beginnings of b from one of a
	for j := range row {
		row[j] = j
	}
	for i := range a {
		before := row[0] // the distance without a's last character
		row[0]++
		for j := range b {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// keep writes the emissions of lines, and what is known about them.
func keep(folder, name string, n network, l lines) error {
	x := n.forward(l)
	for i, frames := range l.frames {
		end := (i + 1) * x.Shape[1] * x.Shape[2]
		clear(x.Data[end-(x.Shape[1]-frames)*x.Shape[2] : end]) // who reads on gets another loss
	}
	if len(l.texts) == 1 {
		x.Shape = x.Shape[1:]
	}
	labels, lengths := encode(l.texts)
	index, err := json.Marshal(map[string]any{
		"kind": "logits", "blank": 0, "input_lengths": l.frames, "target_tokens": labels, "target_lengths": lengths, "spans": l.spans,
	})
	if err != nil {
		return err
	}
	description := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", npy.Tuple(x.Shape))
	description += strings.Repeat(" ", 128-len(npy.Magic)-4-1-len(description)) + "\n"
	array := binary.LittleEndian.AppendUint16([]byte(npy.Magic+"\x01\x00"), uint16(len(description)))
	array, err = binary.Append(append(array, description...), binary.LittleEndian, x.Data)
	if err != nil {
		return err
	}
	for file, data := range map[string][]byte{
		"emissions.npy":  array,
		"index.json":     append(index, '\n'),
		"tokens.txt":     []byte("<blank>\n<space>\n" + strings.Join(strings.Split(characters[1:], ""), "\n") + "\n"),
		"transcript.txt": []byte(strings.Join(l.texts, "\n") + "\n"),
	} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name, file), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}
