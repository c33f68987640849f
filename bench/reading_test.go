package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/bench/internal/side/sidetest"
)

// Both sides read the same, and there is something to read.
func TestReadings(t *testing.T) {
	here := sidetest.Serve(t, "here", (&computer{prepare: prepare}).answer)
	naive := sidetest.Serve(t, "naive", (&computer{prepare: prepareNaive}).answer)
	for _, w := range readings(filepath.Join("emissions", "line")) {
		if w.job.Width == 100 && w.job.Threshold == 0 { // takes seconds
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			require.NoError(t, check([]*contender{{side: here, job: w.job}, {name: "naive", side: naive, job: w.job}}))
			did, err := prepare(w.job)
			require.NoError(t, err)
			require.NoError(t, did.call(1)())
			require.Greater(t, len(did.values()), 20)
		})
	}
}
