package command

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows a bar on a terminal once the work has taken a while.
type progress struct {
	t     *tool
	total int // −1: unknown
	begun time.Time
	bar   *progressbar.ProgressBar // nil until there is patience no more

	// Where nobody watches, a log may want to know:
	every  time.Duration // 0: it does not
	logged time.Time
	kept   int // done by an earlier process
}

func (t *tool) newProgress(total int) *progress {
	now := time.Now()
	return &progress{t: t, total: total, begun: now, logged: now}
}

// set says how much of the total is done.
func (p *progress) set(done int) {
	switch {
	case done == p.total:
	case !p.t.terminal:
		if p.every > 0 && time.Since(p.logged) >= p.every {
			p.logged = time.Now()
			fmt.Fprintln(p.t.stderr, "trellis:", p.estimate(done, p.logged.Sub(p.begun)))
		}
	case time.Since(p.begun) >= p.t.patience:
		if p.bar == nil {
			throttle := time.Duration(0)
			if p.every > 0 { // there are many steps
				throttle = 50 * time.Millisecond
			}
			p.bar = progressbar.NewOptions(p.total,
				progressbar.OptionSetWriter(p.t.stderr),
				progressbar.OptionSetWidth(40),
				progressbar.OptionShowCount(),
				progressbar.OptionThrottle(throttle),
				progressbar.OptionUseANSICodes(true),
			)
		}
		p.bar.Set(done)
	}
}

// estimate says how much is done, and if the total is known how long the rest will take, as what was
// done in some time did.
func (p *progress) estimate(done int, in time.Duration) string {
	if p.total < 0 || done <= p.kept {
		return fmt.Sprintf("%d files", done)
	}
	left := time.Duration(float64(in) / float64(done-p.kept) * float64(p.total-done))
	return fmt.Sprintf("%d of %d files, about %v left", done, p.total, left.Round(time.Second))
}

// clear takes the bar off the screen.
func (p *progress) clear() {
	if p.bar != nil {
		p.bar.Clear()
	}
}
