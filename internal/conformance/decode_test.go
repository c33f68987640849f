package conformance

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/decode"
)

// beamRun is what a prefix beam search of width 100 made of a recording taken as logits, in float64
// and with every class of every frame.
type beamRun struct {
	Greedy struct{ Tokens, Timesteps []int }
	Runs   struct {
		Beam []struct {
			Tokens   []int
			LogProb  number `json:"log_prob_in_beam"`
			LogExact number `json:"log_prob_exact"`
		} `json:"reference_prefix_beam_w100_sum"`
	} `json:"peer_run"`
}

func TestBeamReferences(t *testing.T) {
	bothTypes(t, testBeamReferences[float32], testBeamReferences[float64])
}

func testBeamReferences[F trellis.Float](t *testing.T) {
	paths, err := filepath.Glob(testdata(t, "emissions", "*", "emissions.npy"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		folder := filepath.Dir(path)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			var e emission
			var run beamRun
			readJSON(t, filepath.Join(folder, "index.json"), &e)
			readJSON(t, filepath.Join(folder, "index.json"), &run)
			x, shape := readArray[float32](t, path)
			want := run.Runs.Beam
			require.NotEmpty(t, want)
			beam := decode.Beam[F]{Blank: e.Blank, Scores: trellis.Logits, NBest: len(want)}
			got, err := beam.Decode(nil, trellis.Tensor[F]{Data: Cast[F](x), Shape: shape}, nil)
			require.NoError(t, err)
			require.Len(t, got[0], len(want))
			for i, w := range want {
				assert.Equal(t, w.Tokens, got[0][i].Labels, "hypothesis %d, %v and %v", i, w.LogProb, got[0][i].LogProb)
				assert.InDelta(t, float64(w.LogProb), got[0][i].LogProb, 1e-6, "hypothesis %d", i)
			}
		})
	}
}
