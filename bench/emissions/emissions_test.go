package emissions_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/side"
)

// What is kept fits together, and is as peaked as README.md says.
func TestFiles(t *testing.T) {
	for folder, sequences := range map[string]int{"line": 1, "batch": 4} {
		t.Run(folder, func(t *testing.T) {
			tokens := lines(t, folder, "tokens.txt")
			assert.Equal(t, []string{"<blank>", "<space>", "A"}, tokens[:3])
			r, err := side.ReadRecording(folder)
			require.NoError(t, err)
			data, err := os.ReadFile(filepath.Join(folder, "index.json"))
			require.NoError(t, err)
			var known struct {
				Kind    string
				Frames  []int `json:"input_lengths"`
				Lengths []int `json:"target_lengths"`
				Spans   [][2]int
			}
			require.NoError(t, json.Unmarshal(data, &known))
			assert.Equal(t, "logits", known.Kind)
			assert.Equal(t, r.Frames, known.Frames)
			assert.Equal(t, r.Lengths, known.Lengths)
			assert.Equal(t, []int{slices.Max(r.Frames), sequences, len(tokens)}, r.Shape)

			job := side.Job{Shape: r.Shape, Recording: folder, LogProbs: true}
			b, err := side.BatchOf[float32](job)
			require.NoError(t, err)
			losses := make([]float32, sequences)
			x := trellis.Tensor[float32]{Data: b.Scores, Shape: r.Shape}
			require.NoError(t, trellis.CTCLoss[float32]{}.Losses(losses, x, b.Targets, b.Frames, b.Lengths))

			frames, sure, blanks := 0, 0, 0
			for n, text := range lines(t, folder, "transcript.txt") {
				assert.Less(t, losses[n], float32(20), text)
				var spelled strings.Builder
				end := 0
				for i, c := range r.Targets[:r.Lengths[n]] {
					spelled.WriteString(strings.Replace(tokens[c], "<space>", " ", 1))
					span := known.Spans[i]
					assert.GreaterOrEqual(t, span[0], end, "%s: character %d", text, i)
					assert.Greater(t, span[1], span[0], "%s: character %d", text, i)
					end = span[1]
				}
				assert.Equal(t, text, spelled.String())
				assert.LessOrEqual(t, end, r.Frames[n])
				r.Targets, known.Spans = r.Targets[r.Lengths[n]:], known.Spans[r.Lengths[n]:]
				for f := range r.Frames[n] {
					row := b.Scores[(f*sequences+n)*len(tokens):][:len(tokens)]
					best := slices.Max(row)
					frames++
					if float64(best) > math.Log(0.99) {
						sure++
					}
					if row[0] == best {
						blanks++
					}
				}
			}
			assert.Empty(t, r.Targets)
			assert.Empty(t, known.Spans)
			assert.Greater(t, float64(sure)/float64(frames), 0.7)
			assert.Greater(t, float64(blanks)/float64(frames), 0.5)
		})
	}
}

func lines(t *testing.T, name ...string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(name...))
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}
