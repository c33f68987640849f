package command

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
	"github.com/tsenart/vegeta/v12/lib/plot"
)

// What a page has of a frame: the classes that are at least so probable, the best of them if they
// are many, and the class of the path.
const (
	likely         = 0.001
	likelyClasses  = 10
	pageResolution = 1e-4 // of probabilities
)

// What a page has at most, so that browsers open it at once.
const (
	maxPageFrames = 500_000 // with emissions
	maxPageLabels = 200_000 // of hypotheses other than the best
)

// emissions are the probabilities of a sequence as a page has them. For each of its frames there
// is a number of classes, and for each of these the class and its probability in units of
// pageResolution, all as unsigned varints.
type emissions struct {
	frames int
	coded  []byte
	seen   map[int]bool // the classes
}

// record keeps what a page shows of sequence s. frame returns the scores of a frame.
func record[F trellis.Float](a *alignments, s alignment, frame func(t int) []F) {
	type shown struct {
		class       int
		probability float64
	}
	e := emissions{frames: min(s.frames, maxPageFrames-a.recordedFrames), seen: map[int]bool{}}
	a.recordedFrames += e.frames
	path := make([]int, s.frames)
	trellis.Path(path, s.spans, s.labels, a.blank)
	var entries []shown
	for t := range e.frames {
		scores := newFrameScores(a.scores, frame(t))
		least := scores.scoreOf(likely)
		entries = entries[:0]
		for class, v := range scores.row {
			if v >= least {
				entries = append(entries, shown{class, scores.probability(class)})
			}
		}
		if len(entries) > likelyClasses {
			slices.SortFunc(entries, func(x, y shown) int {
				return cmp.Or(cmp.Compare(y.probability, x.probability), x.class-y.class)
			})
			entries = entries[:likelyClasses]
		}
		taken := path[t]
		if taken != trellis.AnyLabel && !slices.ContainsFunc(entries, func(e shown) bool { return e.class == taken }) {
			entries = append(entries, shown{taken, scores.probability(taken)})
		}
		e.coded = binary.AppendUvarint(e.coded, uint64(len(entries)))
		for _, entry := range entries {
			e.seen[entry.class] = true
			e.coded = binary.AppendUvarint(e.coded, uint64(entry.class))
			e.coded = binary.AppendUvarint(e.coded, uint64(math.Round(entry.probability/pageResolution)))
		}
	}
	a.recorded = append(a.recorded, e)
}

// page is what the script of a report finds in it.
type page struct {
	Title      string         `json:"-"`
	File       string         `json:"file"`
	About      string         `json:"about"`
	Step       float64        `json:"step,omitempty"` // seconds from one frame to the next, if they are known
	Unit       string         `json:"unit"`           // what the lines of the table are: word, token or label
	Confidence bool           `json:"confidence"`     // whether there are any
	Resolution float64        `json:"resolution"`
	Likely     float64        `json:"likely"`
	Most       int            `json:"most"`
	Blank      int            `json:"blank"`
	Names      map[int]string `json:"names"` // of classes
	Sequences  []pageSequence `json:"sequences"`
}

type pageSequence struct {
	Frames    int           `json:"frames"`
	Recorded  int           `json:"recorded"` // the first frames, which have emissions
	Emissions []byte        `json:"emissions"`
	Readings  []pageReading `json:"readings"` // the best one first
}

// pageReading is an alignment, or what a decoder read.
type pageReading struct {
	Score      digits          `json:"score"`
	Labels     *pageItems      `json:"labels,omitempty"` // absent where they would be too many
	Words      *pageItems      `json:"words,omitempty"`
	Hypothesis *pageHypothesis `json:"hypothesis,omitempty"` // of a decoder
}

// pageHypothesis is a text, and what adds up to its score.
type pageHypothesis struct {
	Text    string `json:"text"`
	LogProb digits `json:"log_prob"`
	LM      digits `json:"lm"`
	Bonus   digits `json:"bonus"`
}

// pageItems are words, which have texts, or labels, which have classes.
type pageItems struct {
	Texts      []string `json:"texts"`
	Classes    []int    `json:"classes"`
	Start      []int    `json:"start"`
	End        []int    `json:"end"`
	Score      []digits `json:"score"`
	Confidence []digits `json:"confidence,omitempty"`
}

// digits is a number of which the page has a few digits. What JSON has no numbers for are strings.
type digits float64

func (d digits) MarshalJSON() ([]byte, error) {
	v := float64(d)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return number{v, 64}.appendJSON(nil), nil
	}
	return strconv.AppendFloat(nil, v, 'g', 6, 64), nil
}

// page makes the report of a file. hypotheses are those of a decoder, or nil.
func (a *alignments) page(command string, hypotheses [][]hypothesis) page {
	file := filepath.Base(npy.Path(a.Name))
	p := page{
		Title: file + " – trellis " + command, File: file, About: a.about(), Step: a.options.frame.Seconds(),
		Unit: "word", Confidence: a.options.confidence, Resolution: pageResolution, Likely: likely, Most: likelyClasses,
		Blank: a.blank, Names: map[int]string{}, Sequences: []pageSequence{},
	}
	switch {
	case a.vocabulary == nil:
		p.Unit = "label"
	case a.options.labels:
		p.Unit = "token"
	}
	seen, others := map[int]bool{a.blank: true}, 0
	for n, s := range a.found {
		e := a.recorded[n]
		maps.Copy(seen, e.seen)
		sequence := pageSequence{Frames: s.frames, Recorded: e.frames, Emissions: e.coded}
		if hypotheses == nil {
			sequence.Readings = []pageReading{a.reading(s, seen)}
		} else {
			for k, h := range hypotheses[n] {
				if k > 0 {
					others += len(h.labels)
				}
				r := pageReading{Score: digits(h.score)}
				if k == 0 || others <= maxPageLabels {
					r = a.reading(h.alignment, seen)
				}
				r.Hypothesis = &pageHypothesis{h.text, digits(h.logProb), digits(h.lm), digits(h.bonus)}
				sequence.Readings = append(sequence.Readings, r)
			}
		}
		p.Sequences = append(p.Sequences, sequence)
	}
	for class := range seen {
		p.Names[class] = a.laneName(class)
	}
	return p
}

// reading returns an alignment as a page has it, and marks its classes as seen.
func (a *alignments) reading(s alignment, seen map[int]bool) pageReading {
	r := pageReading{Score: digits(s.score), Labels: a.pageItems(a.labelItems(s))}
	r.Labels.Classes, r.Labels.Texts = append([]int{}, s.labels...), nil
	for _, label := range s.labels {
		seen[label] = true
	}
	if a.vocabulary != nil {
		r.Words = a.pageItems(a.wordItems(s))
	}
	return r
}

func (a *alignments) pageItems(items []item) *pageItems {
	n := len(items)
	p := pageItems{Texts: make([]string, n), Start: make([]int, n), End: make([]int, n), Score: make([]digits, n)}
	for i, it := range items {
		p.Texts[i], p.Start[i], p.End[i], p.Score[i] = it.text, it.Start, it.End, digits(it.Score)
		if a.options.confidence {
			p.Confidence = append(p.Confidence, digits(it.Confidence))
		}
	}
	return &p
}

// The files of a page. The chart library is uPlot, whose script comes with the module of Vegeta.
var (
	//go:embed report/report.html
	pageTemplate string
	//go:embed report/report.css
	pageStyle string
	//go:embed report/report.js
	pageScript string
	//go:embed report/uPlot-LICENSE
	chartLicense string
)

// chartFile returns a file of uPlot.
func chartFile(name string) (string, error) {
	file, err := plot.Assets.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	return string(content), err
}

// write writes a page that needs no other file. Its policy forbids the browser all requests, and
// all scripts but the page's own.
func (p page) write(w io.Writer) error {
	script, err := chartFile("uPlot.min.js")
	if err != nil {
		return err
	}
	style, err := chartFile("uPlot.min.css")
	if err != nil {
		return err
	}
	script = "/*\nuPlot, the chart library of this page:\n\n" + chartLicense + "*/\n" + script + "\n" + pageScript
	hash := sha256.Sum256([]byte(script))
	t, err := template.New("report").Parse(pageTemplate)
	if err != nil {
		return err
	}
	return t.Execute(w, map[string]any{
		"Page":       p,
		"Light":      pageColours(0),
		"Dark":       pageColours(1),
		"Style":      template.CSS(style + pageStyle),
		"Script":     template.JS(script),
		"ScriptHash": "sha256-" + base64.StdEncoding.EncodeToString(hash[:]),
	})
}

// pageColours declares the colours of light pages or dark ones.
func pageColours(scheme int) template.CSS {
	var css strings.Builder
	for ink, name := range [inks]string{paper: "paper", strong: "strong", faint: "faint", heat: "heat", trail: "trail"} {
		fmt.Fprintf(&css, "--%s:%s;", name, colours[ink][scheme])
	}
	return template.CSS(css.String())
}

// writePage writes the report that the options ask for.
func (a *alignments) writePage(t *tool, command string, hypotheses [][]hypothesis) error {
	frames := 0
	for _, s := range a.found {
		frames += s.frames
	}
	if frames > a.recordedFrames {
		t.warnings = append(t.warnings, fmt.Sprintf("%s has the emissions of the first %d of %d frames", a.options.html, a.recordedFrames, frames))
	}
	var b bytes.Buffer
	if err := a.page(command, hypotheses).write(&b); err != nil {
		return err
	}
	return writeDraft(a.options.html, &b)
}
