package command

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows a bar on a terminal once the work has taken a while.
type progress struct {
	t     *tool
	total int
	begun time.Time
	bar   *progressbar.ProgressBar // nil until there is patience no more
}

func (t *tool) newProgress(total int) *progress {
	return &progress{t: t, total: total, begun: time.Now()}
}

// set says how much of the total is done.
func (p *progress) set(done int) {
	if !p.t.terminal || done == p.total || time.Since(p.begun) < p.t.patience {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions(p.total,
			progressbar.OptionSetWriter(p.t.stderr),
			progressbar.OptionSetWidth(40),
			progressbar.OptionShowCount(),
			progressbar.OptionUseANSICodes(true),
		)
	}
	p.bar.Set(done)
}

// clear takes the bar off the screen.
func (p *progress) clear() {
	if p.bar != nil {
		p.bar.Clear()
	}
}
