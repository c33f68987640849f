// Package side has processes that compute the same things from the same numbers, and
// are asked for results and times: PyTorch, and programs that call Serve.
//
// A side is asked in lines of JSON and answers each with one line; its first line says
// what it is.
package side

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

//go:embed peer.py
var peerScript string

// Job is one computation, of numbers that every side makes for itself: see Scores,
// Classes, Probabilities, Factors and Targets.
type Job struct {
	Op        string  `json:"op"`                  // peer.py has those of PyTorch
	Type      string  `json:"type"`                // "float32" or "float64"
	Shape     []int   `json:"shape"`               // rows over the last axis; losses over axis 1; CTC's is (T,N,C)
	Targets   []int   `json:"targets,omitempty"`   // of CTC: the least and the most labels of a sequence
	Weighted  bool    `json:"weighted,omitempty"`  // of class losses: the classes have weights
	Smoothing float64 `json:"smoothing,omitempty"` // of the labels
	Scale     float64 `json:"scale,omitempty"`     // what the scores are multiplied by; 0 means 1
	Mask      Mask    `json:"mask,omitzero"`       // CTC counts an infinite loss as 0 where there is one
	Recording string  `json:"recording,omitempty"` // folder with scores and targets for CTC: see ReadRecording
	LogProbs  bool    `json:"log_probs,omitempty"` // CTC takes log-probabilities, which are made of the scores before
	Width     int     `json:"width,omitempty"`     // of a beam
	Threshold float64 `json:"threshold,omitempty"` // of the classes that it looks at
	Model     bool    `json:"model,omitempty"`     // a beam asks a language model, and looks out for words
	Workers   int     `json:"workers"`             // 0 means as many as there are cores
}

// Mask replaces a share of the scores. Its score is a text, since JSON has no "-Inf".
type Mask struct {
	Share float64 `json:"share"`
	Score string  `json:"score"`
}

// Inputs returns how many numbers the job computes from.
func (j Job) Inputs() int {
	n := 1
	for _, d := range j.Shape {
		n *= d
	}
	return n
}

// States returns how many states the trellises of CTC have, in all frames: T·Σ(2S+1).
func (j Job) States() int {
	n := 0
	_, lengths := Targets(j)
	for _, labels := range lengths {
		n += j.Shape[0] * (2*labels + 1)
	}
	return n
}

// Request asks for a job: for its results if Seconds is 0, or else for times of calls
// for about so long. The operation Forget frees the memory of all jobs.
type Request struct {
	Job
	Seconds float64 `json:"seconds"`
}

const Forget = "forget"

// Answer is what a side says.
type Answer struct {
	About   string    `json:"about,omitempty"`   // first line: what this side is
	Values  []float64 `json:"values,omitempty"`  // results, summed up in a few numbers
	Samples []float64 `json:"samples,omitempty"` // nanoseconds of a call
	Error   string    `json:"error,omitempty"`
}

// Error is what went wrong on a side, in its words.
type Error string

func (e Error) Error() string { return string(e) }

// Side is one of the processes.
type Side struct {
	About    string
	requests *json.Encoder
	answers  *json.Decoder
	stop     func()
}

// Start starts a process and waits for its first line.
func Start(cmd *exec.Cmd) (*Side, error) {
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s, err := Meet(in, out, func() {
		in.Close()
		_ = cmd.Wait() // it has said all that it was asked
	})
	if err != nil {
		in.Close()
		return nil, errors.Join(err, cmd.Wait())
	}
	return s, nil
}

// keepMemory makes glibc keep the memory that PyTorch gives back. Else each of its large arrays is new to the process in
// every call, and pages may cost a virtual machine more than all that is computed in them.
var keepMemory = []string{"MALLOC_MMAP_MAX_=0", "MALLOC_TRIM_THRESHOLD_=8589934592", "MALLOC_TOP_PAD_=67108864"}

// StartPyTorch starts the first of the Pythons that has PyTorch and the device, "cpu" or
// "cuda", of /usr/bin/python3 and python3 if none are named; nil means none has.
func StartPyTorch(device string, pythons ...string) (*Side, error) {
	if len(pythons) == 0 {
		pythons = []string{"/usr/bin/python3", "python3"}
	}
	for _, python := range pythons {
		cmd := exec.Command(python, "-c", peerScript, device)
		cmd.Env = append(os.Environ(), keepMemory...)
		peer, err := Start(cmd)
		switch {
		case err == nil:
			return peer, nil
		case !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, os.ErrNotExist) && !errors.As(err, new(Error)):
			return nil, err
		}
	}
	return nil, nil
}

// Meet reads the first line of what is at the other end.
func Meet(in io.Writer, out io.Reader, stop func()) (*Side, error) {
	s := &Side{requests: json.NewEncoder(in), answers: json.NewDecoder(out), stop: stop}
	a, err := s.next()
	s.About = a.About
	return s, err
}

func (s *Side) Close() { s.stop() }

// Ask sends a request and waits for the answer.
func (s *Side) Ask(r Request) (Answer, error) {
	if err := s.requests.Encode(r); err != nil {
		return Answer{}, fmt.Errorf("%s: %w", s.About, err)
	}
	a, err := s.next()
	if err != nil {
		return a, fmt.Errorf("%s: %w", s.About, err)
	}
	return a, nil
}

func (s *Side) next() (a Answer, err error) {
	err = s.answers.Decode(&a)
	if err == nil && a.Error != "" {
		err = Error(a.Error)
	}
	return a, err
}

// Serve is the other end: it says what it is, and answers until in ends.
func Serve(in io.Reader, out io.Writer, about string, reply func(Request) (Answer, error)) error {
	say := json.NewEncoder(out)
	if err := say.Encode(Answer{About: about}); err != nil {
		return err
	}
	for hear := json.NewDecoder(in); ; {
		var r Request
		if err := hear.Decode(&r); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		a, err := reply(r)
		if err != nil {
			a = Answer{Error: err.Error()}
		}
		if err := say.Encode(a); err != nil {
			return err
		}
	}
}
