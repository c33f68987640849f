package command

import (
	"os"
	"testing"
)

func TestProf(t *testing.T) {
	os.Chdir("/tmp/corpus")
	os.Remove("r.jsonl")
	os.Args = []string{"trellis"}
	Main([]string{"ctc", "-list", "many.tsv", "-logits", "-tokens", "tokens.txt", "-o", "r.jsonl"})
}
