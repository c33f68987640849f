package trellis_test

import (
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// layer is a file of a package, and which others it uses.
type layer struct{ file, uses string }

// layers has the files of the package, from the ground up, and which files each of them
// uses. All may use those in ground. So a file uses only what is above it here, and no two
// hold each other; docs/architecture.md has the same as a picture.
var layers = []layer{
	{"generic.go", ""},
	{"generic_ctc.go", "generic.go"},
	{"generic_align.go", "generic_ctc.go"},
	{"kernels_*.go", "generic.go generic_ctc.go generic_align.go"},
	{"rows_sum.go", "kernels_*.go"},
	{"rows_stream.go", "kernels_*.go rows_sum.go"},
	{"columns.go", "kernels_*.go"},
	{"rows.go", "generic.go kernels_*.go rows_sum.go columns.go"},
	{"argmax.go", "kernels_*.go rows.go"},

	{"classes_layout.go", ""},
	{"classes.go", "kernels_*.go classes_layout.go"},
	{"nll.go", "classes_layout.go classes.go"},
	{"crossentropy_item.go", "rows_sum.go columns.go classes_layout.go classes.go"},
	{"crossentropy_terms.go", "kernels_*.go rows_sum.go classes_layout.go classes.go crossentropy_item.go"},
	{"crossentropy_compute.go", "kernels_*.go rows_sum.go columns.go classes_layout.go classes.go crossentropy_item.go crossentropy_terms.go"},
	{"crossentropy_small.go", "generic.go kernels_*.go rows_sum.go classes_layout.go classes.go crossentropy_item.go"},
	{"crossentropy.go", "classes_layout.go classes.go crossentropy_item.go crossentropy_terms.go crossentropy_compute.go crossentropy_small.go"},

	{"ctc_target.go", ""},
	{"ctc_number.go", "generic_ctc.go"},
	{"ctc_exps.go", "generic_ctc.go generic_align.go kernels_*.go"},
	{"ctc_emission.go", "generic_ctc.go generic_align.go kernels_*.go rows_sum.go rows_stream.go ctc_target.go ctc_number.go ctc_exps.go"},
	{"ctc_trellis.go", "generic_ctc.go kernels_*.go ctc_target.go ctc_number.go ctc_emission.go"},
	{"ctc_smallloss.go", "kernels_*.go rows_sum.go ctc_target.go ctc_emission.go"},
	{"ctc_gradient.go", "generic_ctc.go kernels_*.go rows_sum.go rows_stream.go ctc_target.go ctc_number.go ctc_exps.go ctc_emission.go ctc_trellis.go ctc_smallloss.go"},
	{"ctc_batch.go", "ctc_target.go"},
	{"ctc_task.go", "ctc_gradient.go ctc_batch.go"},
	{"ctc.go", "ctc_batch.go ctc_task.go"},

	{"ctc_spans.go", "ctc_target.go"},
	{"ctc_path_emission.go", "generic_ctc.go generic_align.go kernels_*.go rows_sum.go ctc_target.go ctc_emission.go"},
	{"ctc_viterbi.go", "generic_ctc.go kernels_*.go generic_align.go ctc_target.go ctc_spans.go ctc_path_emission.go"},
	{"ctc_confidence.go", "generic_ctc.go rows_sum.go ctc_path_emission.go ctc_target.go ctc_number.go ctc_emission.go ctc_trellis.go ctc_spans.go"},
	{"ctc_alignment.go", "ctc_target.go ctc_spans.go ctc_path_emission.go ctc_viterbi.go ctc_confidence.go"},
	{"ctc_align_task.go", "ctc_batch.go ctc_spans.go ctc_path_emission.go ctc_alignment.go"},
	{"ctc_align.go", "generic_align.go ctc_spans.go ctc_batch.go ctc_align_task.go"},
}

// ground has the files that use only each other.
var ground = []string{"doc.go", "tensor.go", "errors.go", "outputs.go", "blocks.go", "tiers.go"}

// Those of package decode, and of lm.
var decodeLayers = []layer{
	{"generic.go", ""},
	{"kernels_*.go", "generic.go"},
	{"input.go", "generic.go kernels_*.go"},
	{"greedy.go", "kernels_*.go input.go"},

	{"frame.go", ""},
	{"scorer.go", ""},
	{"tree.go", ""},
	{"rank.go", ""},
	{"search.go", "frame.go scorer.go tree.go rank.go"},
	{"look.go", "generic.go kernels_*.go input.go frame.go tree.go rank.go search.go"},
	{"hypothesis.go", ""},
	{"align.go", "input.go frame.go tree.go"},
	{"beam.go", "input.go scorer.go tree.go search.go look.go hypothesis.go align.go"},
	{"stream.go", "input.go hypothesis.go tree.go search.go align.go beam.go"},
}

var lmLayers = []layer{
	{"model.go", ""},
	{"arpa.go", "model.go"},
	{"trie.go", ""},
	{"spelling.go", ""},
	{"words.go", "model.go trie.go spelling.go"},
	{"hotwords.go", "trie.go spelling.go"},
}

func TestLayers(t *testing.T) {
	if testing.Short() {
		t.Skip("the files are the same on every machine")
	}
	testLayers(t, ".", layers, ground)
	testLayers(t, "decode", decodeLayers, []string{"doc.go"})
	testLayers(t, "lm", lmLayers, []string{"doc.go"})
}

func testLayers(t *testing.T, folder string, layers []layer, ground []string) {
	allowed := map[string][]string{}
	for _, g := range ground {
		allowed[g] = ground
	}
	for _, l := range layers {
		for _, use := range strings.Fields(l.uses) {
			require.True(t, allowed[use] != nil, "%s may use %s, which is below it", l.file, use)
		}
		allowed[l.file] = append(strings.Fields(l.uses), ground...)
	}
	used := map[string]map[string]bool{}
	set := token.NewFileSet()
	imports := importer.ForCompiler(set, "source", nil)
	for _, arch := range []string{"amd64", "arm64", "riscv64"} {
		for file, uses := range usesBetweenFiles(t, folder, arch, set, imports) {
			assert.True(t, allowed[file] != nil, "%s is in no layer", file)
			for use, where := range uses {
				assert.True(t, slices.Contains(allowed[file], use), "%s uses %s of %s", file, where, use)
				if used[file] == nil {
					used[file] = map[string]bool{}
				}
				used[file][use] = true
			}
		}
	}
	for _, l := range layers {
		for _, use := range strings.Fields(l.uses) {
			assert.True(t, used[l.file][use], "%s does not use %s", l.file, use)
		}
	}
}

// usesBetweenFiles returns which files of the package use which others, and where, as they are
// built for an architecture. Those of kernels for one architecture have one name.
func usesBetweenFiles(t *testing.T, folder, arch string, set *token.FileSet, imports types.Importer) map[string]map[string]string {
	context := build.Default
	context.GOOS, context.GOARCH, context.CgoEnabled = "linux", arch, false
	pkg, err := context.ImportDir(folder, 0)
	require.NoError(t, err)
	var files []*ast.File
	for _, name := range pkg.GoFiles {
		file, err := parser.ParseFile(set, filepath.Join(folder, name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: imports}
	this, err := config.Check(pkg.Name, set, files, &info)
	require.NoError(t, err)
	fileOf := func(pos token.Pos) string {
		name := filepath.Base(set.Position(pos).Filename)
		if strings.HasPrefix(name, "kernels_") {
			return "kernels_*.go"
		}
		return name
	}
	uses := map[string]map[string]string{}
	for _, name := range pkg.GoFiles {
		uses[fileOf(files[slices.Index(pkg.GoFiles, name)].Pos())] = map[string]string{}
	}
	for _, id := range slices.SortedFunc(maps.Keys(info.Uses), func(a, b *ast.Ident) int { return int(a.Pos() - b.Pos()) }) {
		object := info.Uses[id]
		if object.Pkg() != this || !object.Pos().IsValid() {
			continue
		}
		if from, to := fileOf(id.Pos()), fileOf(object.Pos()); from != to {
			uses[from][to] = object.Name() + " (" + set.Position(id.Pos()).String() + ")"
		}
	}
	return uses
}
