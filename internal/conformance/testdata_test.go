package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gotrellis/trellis/internal/npy"
	"github.com/stretchr/testify/require"
)

// Tests against what others have published: ONNX's node tests, toy matrices from
// the tests of other CTC libraries, and the output of real networks.

// testdata returns the path of a file in the folder of the test data, which is
// not part of the repository, or skips the test.
func testdata(t *testing.T, path ...string) string {
	t.Helper()
	folder := os.Getenv("TRELLIS_TESTDATA")
	if folder == "" {
		t.Skip("TRELLIS_TESTDATA does not name the folder of the test data")
	}
	return filepath.Join(append([]string{folder}, path...)...)
}

func readJSON(t *testing.T, path string, value any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, value), path)
}

func readArray[T npy.Element](t *testing.T, path string) (data []T, shape []int) {
	t.Helper()
	data, shape, err := npy.ReadFile[T](path)
	require.NoError(t, err)
	return data, shape
}

// number is a number in JSON, which has none that are not finite: they come as
// strings.
type number float64

func (n *number) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	v, err := strconv.ParseFloat(strings.Trim(string(text), `"`), 64)
	*n = number(v)
	return err
}

// numbers is a list of numbers in JSON, or one alone; null is none.
type numbers []float64

func (n *numbers) UnmarshalJSON(text []byte) error {
	var list []number
	if text[0] != '[' && string(text) != "null" {
		text = slices.Concat([]byte("["), text, []byte("]"))
	}
	err := json.Unmarshal(text, &list)
	for _, v := range list {
		*n = append(*n, float64(v))
	}
	return err
}
