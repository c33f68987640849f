package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// A side is asked in lines of JSON and answers each with one line; its first line
// says what it is. peer.py speaks the same.

//go:embed peer.py
var peerScript string

// job is one computation, of standard normal numbers that every side makes for
// itself.
type job struct {
	Op      string `json:"op"`    // see (*computer).prepare
	Type    string `json:"type"`  // "float32" or "float64"
	Shape   []int  `json:"shape"` // rows over the last axis; losses over axis 1
	Workers int    `json:"workers"`
}

// elements returns the number of the job's inputs.
func (j job) elements() int {
	n := 1
	for _, d := range j.Shape {
		n *= d
	}
	return n
}

// request asks for a job: for its results if Seconds is 0, or else for times of
// calls for about so long. The operation "forget" frees the memory of all jobs.
type request struct {
	job
	Seconds float64 `json:"seconds"`
}

const forget = "forget"

// answer is what a side says.
type answer struct {
	About   string    `json:"about,omitempty"`   // first line: what this side is
	Values  []float64 `json:"values,omitempty"`  // results, summed up in a few numbers
	Samples []float64 `json:"samples,omitempty"` // nanoseconds of a call
	Error   string    `json:"error,omitempty"`
}

// sideError is what went wrong on a side, in its words.
type sideError string

func (e sideError) Error() string { return string(e) }

// side is one of the processes.
type side struct {
	about    string
	requests *json.Encoder
	answers  *json.Decoder
	stop     func()
}

// start starts a process and waits for its first line.
func start(cmd *exec.Cmd) (*side, error) {
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
	s, err := meet(in, out, func() {
		in.Close()
		_ = cmd.Wait() // it has said all that it was asked
	})
	if err != nil {
		in.Close()
		return nil, errors.Join(err, cmd.Wait())
	}
	return s, nil
}

// meet reads the first line of what is at the other end.
func meet(in io.Writer, out io.Reader, stop func()) (*side, error) {
	s := &side{requests: json.NewEncoder(in), answers: json.NewDecoder(out), stop: stop}
	a, err := s.next()
	s.about = a.About
	return s, err
}

func (s *side) close() { s.stop() }

// ask sends a request and waits for the answer.
func (s *side) ask(r request) (answer, error) {
	if err := s.requests.Encode(r); err != nil {
		return answer{}, fmt.Errorf("%s: %w", s.about, err)
	}
	a, err := s.next()
	if err != nil {
		return a, fmt.Errorf("%s: %w", s.about, err)
	}
	return a, nil
}

func (s *side) next() (a answer, err error) {
	err = s.answers.Decode(&a)
	if err == nil && a.Error != "" {
		err = sideError(a.Error)
	}
	return a, err
}

// serve is the other end: it says what it is, and answers until in ends.
func serve(in io.Reader, out io.Writer, about string, reply func(request) (answer, error)) error {
	say := json.NewEncoder(out)
	if err := say.Encode(answer{About: about}); err != nil {
		return err
	}
	for hear := json.NewDecoder(in); ; {
		var r request
		if err := hear.Decode(&r); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		a, err := reply(r)
		if err != nil {
			a = answer{Error: err.Error()}
		}
		if err := say.Encode(a); err != nil {
			return err
		}
	}
}
