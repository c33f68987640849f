package report

import (
	"encoding/xml"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/plotter"

	"github.com/gotrellis/trellis/bench/internal/results"
)

// A and B are machines that nobody has: one with all peers, one without any.
func machineA() results.File {
	f := file{Date: "2001-02-03", Machine: results.Machine{
		Processor: "machine A", Cores: 4, Caches: []int{32 << 10, 1 << 20}, OS: "plan9", Arch: "amd64", Go: "go9.9", Trellis: "abc123",
		Tiers: []string{"generic", "avx2", "avx512"},
		Peers: []results.Peer{{Name: results.PyTorch, Version: "7.7"}, {Name: results.Gonum, Version: "v5"}, {Name: results.Gorgonia, Version: "v6"}},
	}}
	f.fill(map[string]float64{"generic": 8, "avx2": 2, "avx512": 1, results.PyTorch: 10, results.Memory: 0.5}, 1, 4)
	with := func(name, side string, ns float64) {
		i := slices.IndexFunc(f.Works, func(w results.Work) bool { return w.Name == name })
		f.Works[i].Times = append(f.Works[i].Times, results.Time{Side: side, Workers: 1, Median: ns})
	}
	with("log-sum-exp 10×100", results.Gonum, 33000)
	with("CTC+grad T50 N16 C20 S10", results.Gorgonia, 4321)
	with("NLL 1×10", results.Naive, 50)
	with("NLL 256×10", results.Naive, 6e4)
	for _, scale := range []float64{1, 5} {
		for _, frames := range []int{50, 500, 4000} {
			e := 1e-6 * scale * float64(frames)
			f.Errors = append(f.Errors, results.Error{
				Scale: scale, Frames: frames, Labels: frames / 5, Classes: 80, Trellis: 1e-7, PyTorch: e, Double: 1e-13,
			})
		}
	}
	return results.File(f)
}

func machineB() results.File {
	f := file{Date: "2001-02-04", Machine: results.Machine{
		Processor: "machine B", Cores: 1, OS: "linux", Arch: "arm64", Go: "go9.9", Tiers: []string{"generic", "neon"},
	}}
	f.fill(map[string]float64{"generic": 8, "neon": 3}, 1)
	return results.File(f)
}

type file results.File

// fill adds works of all groups, whose elements take as many nanoseconds as is said of a
// side; of small ones, a call takes 100 of an element's.
func (f *file) fill(costs map[string]float64, workers ...int) {
	add := func(group, name string, x float64, elements int, unit string, workers ...int) {
		w := results.Work{Group: group, Name: name, X: x, Type: "float32", Bytes: 4 * elements, Elements: elements, Unit: unit}
		for _, n := range workers {
			for _, side := range []string{results.PyTorch, "generic", "avx2", "avx512", "neon", results.Memory} {
				cost, ok := costs[side]
				if !ok {
					continue
				}
				ns := cost * max(100, float64(elements)) / float64(max(1, n))
				w.Times = append(w.Times, results.Time{
					Side: side, Workers: n, Median: ns, Quartiles: [2]float64{ns, ns}, Calls: 3, Rounds: []float64{ns, ns * 1.25, ns},
				})
			}
		}
		f.Works = append(f.Works, w)
	}
	add(results.Table, "log-sum-exp 10×100", 0, 1000, "element", workers...)
	add(results.Table, "CTC+grad T50 N16 C20 S10", 0, 16800, "state", workers...)
	add(results.Table, "log-sum-exp 20×100", 0, 2000, "element", workers...)
	add(results.Everyday, "NLL 1×10", 0, 10, "element", 0, 1)
	add(results.Everyday, "NLL 256×10", 0, 2560, "element", 1)
	for _, group := range []string{results.Rows, results.Classes, results.CTCSize, results.CTCClasses, results.Batch} {
		for _, n := range []int{1, 10, 100, 1000, 10000, 100000} {
			of := []int{1}
			if group == results.Batch {
				of = workers
			}
			add(group, group, float64(n), n, "element", of...)
		}
	}
	for _, n := range workers {
		add(results.Workers, "CTC+grad T50 for workers", float64(n), 1000, "state", n)
	}
}

var shownModels = results.Models{Tool: "llvm-mca 1.2", CPUs: []string{"znver4", "apple-m1"}, Loops: []results.Loop{
	{Kernel: "sumExpF32NEON", Elements: 64, Instructions: 9, Cycles: map[string]float64{"apple-m1": 6.4}},
	{Kernel: "sumExpF32NEON", Elements: 16, Instructions: 5, Cycles: map[string]float64{"apple-m1": 32}},
	{Kernel: "sumExpF32NEON", Elements: 8, Instructions: 50, Cycles: map[string]float64{"apple-m1": 99}},
	{Kernel: "sumExpF32NEON", Elements: 4, Instructions: 50, Cycles: map[string]float64{"apple-m1": 99}},
	{Kernel: "sumExpF32AVX512", Elements: 16, Instructions: 5, Cycles: map[string]float64{"znver4": 12}},
	{Kernel: "gatherAVX512", Elements: 4, Instructions: 5, Cycles: map[string]float64{"znver4": 5}},
	{Kernel: "gatherAVX512", Elements: 1, Instructions: 5, Cycles: map[string]float64{"znver4": 8}},
	{Kernel: "resetAVX512", Instructions: 5, Cycles: map[string]float64{"znver4": 1}},
}}

// report writes a report and returns its files.
func report(t *testing.T, models *results.Models, files ...results.File) map[string]string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, Write(folder, files, models))
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	require.NoError(t, err)
	written := map[string]string{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		written[filepath.Base(name)] = string(data)
	}
	return written
}

func charts(written map[string]string) (names []string) {
	for name := range written {
		if strings.HasSuffix(name, ".svg") {
			names = append(names, strings.TrimSuffix(name, ".svg"))
		}
	}
	slices.Sort(names)
	return names
}

var ofA = []string{
	"machine-a-batch", "machine-a-classes", "machine-a-ctc-classes", "machine-a-ctc-size", "machine-a-float32-error",
	"machine-a-limit", "machine-a-peers", "machine-a-rows", "machine-a-workers",
}

func TestWrite(t *testing.T) {
	written := report(t, &shownModels, machineA())
	assert.Equal(t, ofA, charts(written))
	readme := written["README.md"]
	assert.True(t, strings.HasPrefix(readme, "<!-- Generated by `"+Command+"`"))
	for _, part := range []string{
		"- date: 2001-02-03\n- processor: machine A, 4 cores\n- caches: L1 32 KiB, L2 1 MiB\n",
		"- trellis: abc123\n- tiers: generic, AVX2, AVX-512\n- beside: PyTorch 7.7, gonum v5, Gorgonia v6\n",
		"| work | workers | generic | AVX2 | AVX-512 | PyTorch | × | in rounds | others | memory | its time |\n",
		"| log-sum-exp 10×100 | 1 | 8.00 µs | 2.00 µs | 1.00 µs | 10.0 µs | 10.0× | 10.0–10.0 | gonum 33.0 µs, 33.0× | 500 ns | 2.00× |\n",
		"| log-sum-exp 10×100 | 4 | 2.00 µs | 500 ns | 250 ns | 2.50 µs | 10.0× | 10.0–10.0 |  | 125 ns | 2.00× |\n",
		"![Beside PyTorch](machine-a-peers.svg)\n",
		"\n### Everyday sizes\n\n" + everydayLegend + "\n| work | workers | generic | AVX2 | AVX-512 | PyTorch | × | in rounds | naive | × | memory | its time |\n",
		"| NLL 1×10 | 0 | 800 ns | 200 ns | 100 ns | 1.00 µs | 10.0× | 10.0–10.0 |  |  | 50.0 ns | 2.00× |\n",
		"| NLL 1×10 | 1 | 800 ns | 200 ns | 100 ns | 1.00 µs | 10.0× | 10.0–10.0 | 50.0 ns | 0.50× | 50.0 ns | 2.00× |\n",
		"| × 5 | 4000 | 800 | 2.0·10⁻² | 1.0·10⁻⁷ | 1.0·10⁻¹³ |\n",
		"AVX-512 takes 1.00 ns per element from n = 100 to 10⁵. From n = 1 to 10 it is above the line: 100 times its cost at n = 1. " +
			"A call takes 100 ns for 1 and 100 ns for 10: ",
		" The row fills the L1 (32 KiB) at n = 8192. At n = 10⁵ bare memory takes 0.500 ns, and AVX-512 2.00 times that. " +
			"PyTorch takes 10.0 times as long at all sizes.\n",
		"4 workers are 4.00 times as fast as one at N = 10⁵.",
		"CTC+grad T50: 4 workers are 4.00 times as fast as one.",
		"These are figures of a model, not measurements: cycles per element, by llvm-mca 1.2,",
		"| kernel | apple-m1, NEON | znver4, AVX-512 |\n",
		"| `sumExpF32` | 2.00 | 0.75 |\n| `gather` |  | 1.25 |\n| `reset` |  |  |\n",
	} {
		assert.Contains(t, readme, part)
	}
	for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(readme, -1) {
		assert.Contains(t, written, link[1])
	}
}

// Without peers, caches, errors and other cores, what shows them is left out.
func TestWriteAlone(t *testing.T) {
	written := report(t, nil, machineB())
	assert.Equal(t, []string{
		"machine-b-batch", "machine-b-classes", "machine-b-ctc-classes", "machine-b-ctc-size", "machine-b-rows",
	}, charts(written))
	readme := written["README.md"]
	assert.NotContains(t, readme, "naive |")
	assert.Contains(t, readme, "| work | workers | generic | NEON |\n")
	assert.Contains(t, readme, "NEON takes 3.00 ns per element from n = 100 to 10⁵.")
	for _, part := range []string{"PyTorch", "memory", " fills", "workers are", "Models", "beside:", "caches:", "### Errors", "All machines"} {
		assert.NotContains(t, readme, part)
	}
	for _, chart := range charts(written) {
		assert.NotContains(t, written[chart+".svg"], "PyTorch")
	}
}

// Any work may be missing, and anything of a work.
func TestWriteParts(t *testing.T) {
	whole := machineA()
	for i, w := range whole.Works {
		f := whole
		f.Works, f.Errors = []results.Work{w}, nil
		readme := report(t, nil, f, machineB())["README.md"]
		assert.NotRegexp(t, `NaN|Inf|%!`, readme, i)
		_, err := ReadmeSection([]results.File{f}, []string{w.Name})
		assert.NoError(t, err)
		_, err = PerformanceSection([]results.File{f})
		assert.NoError(t, err)

		w.Times = w.Times[:1]
		w.Times[0].Rounds = nil
		f.Works = []results.Work{w}
		report(t, nil, f)
	}
	uneven := machineA()
	uneven.Works[0].Times[0].Rounds = uneven.Works[0].Times[0].Rounds[1:]
	assert.Contains(t, report(t, nil, uneven)["README.md"], "| 10.0 µs | 10.0× |  | gonum")

	none := whole
	none.Works, none.Errors = []results.Work{{Group: results.Table, Name: "none"}}, []results.Error{{Scale: 1}}
	written := report(t, nil, none)
	assert.Empty(t, charts(written))
	assert.NotContains(t, written["README.md"], "How cost grows")

	zero := machineA()
	for i := range zero.Works {
		for j := range zero.Works[i].Times {
			zero.Works[i].Times[j].Median = []float64{0, math.Inf(1), math.NaN()}[j%3]
		}
	}
	for i := range zero.Errors {
		zero.Errors[i].Trellis, zero.Errors[i].PyTorch = 0, 0
	}
	written = report(t, nil, zero)
	assert.Empty(t, charts(written))
	assert.NotRegexp(t, `NaN|Inf`, written["README.md"])
}

func TestWriteMachines(t *testing.T) {
	again := machineA()
	again.Machine.Cores = 8
	written := report(t, nil, machineA(), machineB(), again)
	for _, name := range []string{"rows", "classes", "ctc-size", "ctc-classes", "batch", "workers", "peers", "limit"} {
		image := written["machines-"+name+".svg"]
		assert.Contains(t, image, ">machine A, 4 cores", name)
		assert.Contains(t, image, ">machine A, 8 cores", name)
	}
	assert.Contains(t, written["machines-rows.svg"], ">machine B<")
	assert.NotContains(t, written["machines-peers.svg"], ">machine B", "it has no PyTorch")
	for _, chart := range charts(report(t, nil, machineB(), machineB())) {
		assert.NotRegexp(t, "peers|limit|workers", chart)
	}
	assert.Contains(t, written, "machine-a-8-cores-rows.svg")
	assert.Contains(t, written, "machine-b-rows.svg")
	assert.Contains(t, written["README.md"], "| work | machine A, 4 cores, AVX-512 | machine B, NEON | machine A, 8 cores, AVX-512 |\n")
	assert.Contains(t, written["README.md"], "| log-sum-exp 10×100 | 1.00 µs, 10.0× | 3.00 µs | 1.00 µs, 10.0× |\n")
}

func TestMachines(t *testing.T) {
	var files []results.File
	for _, m := range []struct {
		processor string
		cores     int
		date      string
	}{{"A(R) 1", 2, "d1"}, {"A(R) 1", 4, "d1"}, {"A(R) 1", 4, "d2"}, {"B", 1, "d1"}, {"a r  1", 9, ""}, {"", 1, ""}} {
		files = append(files, results.File{Date: m.date, Machine: results.Machine{Processor: m.processor, Cores: m.cores}})
	}
	var names, slugs []string
	for _, m := range machines(append(files, files[3])) {
		names, slugs = append(names, m.name), append(slugs, m.slug)
	}
	assert.Equal(t, []string{"A(R) 1, 2 cores", "A(R) 1, 4 cores, d1", "A(R) 1, 4 cores, d2", "B, 1 core, d1", "a r  1", "unknown processor", "B, 1 core, d1"}, names)
	assert.Equal(t, []string{"a-r-1-2-cores", "a-r-1-4-cores-d1", "a-r-1-4-cores-d2", "b-1-core-d1", "a-r-1", "unknown-processor", "b-1-core-d1-2"}, slugs)
}

func TestCharts(t *testing.T) {
	written := report(t, nil, machineA(), machineB())
	assert.Equal(t, written, report(t, nil, machineA(), machineB()), "a second time")
	colours := regexp.MustCompile(`(fill|stroke):#([0-9A-F]{6})`)
	for _, name := range charts(written) {
		image := written[name+".svg"]
		wellFormed(t, name, image)
		assert.NotRegexp(t, "NaN|Inf", image, name)
		_, body, ok := strings.Cut(image, "</style>")
		require.True(t, ok, name)
		for _, c := range colours.FindAllStringSubmatch(body, -1) {
			assert.Contains(t, image, `[style*="`+c[1]+":#"+c[2]+`"] { `+c[1]+":#", "%s: %s has no dark colour", name, c[0])
		}
		// Black is what a style leaves out.
		for _, element := range regexp.MustCompile(`<(path|text)[^>]*>`).FindAllString(body, -1) {
			assert.Contains(t, element, "fill:", name)
		}
	}
	for name, labels := range map[string][]string{
		"rows":          {"Log-sum-exp of one row", "ns per element, float32, one worker, machine A", "elements of the row, n", "PyTorch", "generic", "AVX2", "AVX-512", "memory", "L1", "10⁴"},
		"batch":         {"µs per element, float32, machine A", "AVX-512, 1 worker", "AVX-512, 4 workers", "PyTorch, 1 worker", "PyTorch, 4 workers", "0.01"},
		"workers":       {"CTC+grad T50", "ideal", "AVX-512", "PyTorch", "2"},
		"peers":         {"log-sum-exp", "10×100", "CTC+grad", "T50 N16 C20 S10", "10.0×", "5.00×", "1.25×", "gonum 0.30×", "Gorgonia 38.9×"},
		"limit":         {"AVX-512", "2.00×", "memory"},
		"float32-error": {"PyTorch 7.7, logits × 1", "PyTorch 7.7, logits × 5", "trellis, logits × 1", "frames (80 classes, a label for 5 frames)", "10⁻⁶"},
	} {
		for _, label := range labels {
			assert.True(t, strings.Contains(written["machine-a-"+name+".svg"], ">"+label+"<"), "%s has no %q", name, label)
		}
	}
	assert.NotContains(t, written["machine-a-rows.svg"], ">L2<", "no row fills it")
	assert.Equal(t, 1, strings.Count(written["machine-a-rows.svg"], "#7A828B;stroke-width:1.25"), "memory's line is thin")
	assert.Equal(t, 1, strings.Count(written["machine-a-peers.svg"], ">log-sum-exp<"))
	assert.NotContains(t, written["machine-a-peers.svg"], ">1.00×<", "PyTorch beside itself")
	assert.Equal(t, 1, strings.Count(written["machine-b-batch.svg"], "NEON, 1 worker<"))
}

// Bars of less than 1 go to the left.
func TestBars(t *testing.T) {
	image, err := barChart{
		series: []series{{name: "s", ink: blue}},
		rows:   []row{{name: "slow", lengths: map[int]float64{0: 0.1}}, {name: "fast", lengths: map[int]float64{0: 10}}},
	}.render()
	require.NoError(t, err)
	edges := regexp.MustCompile(`d="M([0-9.]+),[0-9.]+L([0-9.]+),[^"]*Z" style="fill:#004A9F"`).FindAllStringSubmatch(string(image), -1)
	require.Len(t, edges, 3, "a square in the head, and two bars")
	assert.Equal(t, edges[1][2], edges[2][1], "the slow one ends where the fast one begins")
	assert.NotEqual(t, edges[1][1], edges[1][2])
	assert.NotEqual(t, edges[2][1], edges[2][2])
}

// Names that are too long for panels are over them, once; names that are not end lines.
func TestPanels(t *testing.T) {
	of := func(name string) string {
		l := lineChart{lines: []line{{name: name, ink: blue, points: []plotter.XY{{}, {X: 1, Y: 1}}}, {name: "x", ink: green, points: []plotter.XY{{}, {X: 1, Y: 1}}}}}
		image, err := panelChart{panels: []lineChart{l, l}}.render()
		require.NoError(t, err)
		return string(image)
	}
	const leaders = "stroke-width:0.75"
	assert.Equal(t, 2, strings.Count(of("short"), ">short<"))
	assert.Contains(t, of("short"), leaders)
	const long = "a machine of a long name"
	assert.Equal(t, 1, strings.Count(of(long), ">"+long+"<"))
	assert.NotContains(t, of(long), leaders)
}

func TestSpeedups(t *testing.T) {
	s := scaling{}
	for _, n := range []int{4, 2, 1} {
		s.works = append(s.works, results.Work{X: float64(n), Times: []results.Time{{Side: "neon", Workers: n, Median: 12 / float64(n)}}})
	}
	var got []float64
	for _, p := range s.speedups("neon") {
		got = append(got, p.x, p.y)
	}
	assert.Equal(t, []float64{1, 1, 2, 2, 4, 4}, got)
	s.works = s.works[:2]
	assert.Empty(t, s.speedups("neon"), "beside what?")
}

func wellFormed(t *testing.T, name, image string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(image))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return
		}
		require.NoError(t, err, name)
		if e, ok := token.(xml.StartElement); ok {
			names := map[xml.Name]bool{}
			for _, a := range e.Attr {
				require.False(t, names[a.Name], "%s: %s has two of %s", name, e.Name.Local, a.Name.Local)
				names[a.Name] = true
			}
		}
	}
}

func TestReadmeSection(t *testing.T) {
	shown := []string{"CTC+grad T50 N16 C20 S10", "log-sum-exp 10×100", "not measured"}
	section, err := ReadmeSection([]results.File{machineA()}, shown)
	require.NoError(t, err)
	assert.Equal(t, `Each cell is the median time of a call in one thread, and how many times as fast as PyTorch 7.7 that is. Numbers are float32 unless the row says otherwise. They were measured on machine A (2001-02-03, go9.9, revision abc123).

|  | PyTorch | AVX2 | AVX-512 |
| --- | ---:| ---:| ---:|
| log-sum-exp 10×100 | 10.0 µs | 2.00 µs, 5.00× | 1.00 µs, 10.0× |
| CTC+grad T50 N16 C20 S10 | 168 µs | 33.6 µs, 5.00× | 16.8 µs, 10.0× |

`+rowsLegend+`

![Beside PyTorch](bench/results/machine-a-peers.svg)

[docs/performance.md](docs/performance.md) has all works, what limits them, and how to measure on your machine.
`, section)

	section, err = ReadmeSection([]results.File{machineB()}, shown)
	require.NoError(t, err)
	assert.NotContains(t, section, "PyTorch")

	_, err = ReadmeSection(nil, shown)
	assert.Error(t, err)
}

func TestPerformanceSection(t *testing.T) {
	section, err := PerformanceSection([]results.File{machineA()})
	require.NoError(t, err)
	_, table, ok := strings.Cut(section, "revision abc123).\n\n")
	require.True(t, ok)
	assert.Equal(t, `|  | PyTorch | AVX2 | AVX-512 |
| --- | ---:| ---:| ---:|
| log-sum-exp 10×100 | 10.0 µs | 2.00 µs, 5.00× | 1.00 µs, 10.0× |
| CTC+grad T50 N16 C20 S10 | 168 µs | 33.6 µs, 5.00× | 16.8 µs, 10.0× |
| log-sum-exp 20×100 | 20.0 µs | 4.00 µs, 5.00× | 2.00 µs, 10.0× |

`+rowsLegend+`

With 4 workers, AVX-512 is 4.00 times as fast as with one, and 10.0 times as fast as PyTorch with as many threads.

`+everydayCaption+`

|  | naive | PyTorch | AVX2 | AVX-512 |
| --- | ---:| ---:| ---:| ---:|
| NLL 1×10 | 50.0 ns | 1.00 µs | 200 ns, 0.25× | 100 ns, 0.50× |
| NLL 256×10 | 60.0 µs | 25.6 µs | 5.12 µs, 5.00× | 2.56 µs, 10.0× |

![CTC with its gradient from logits, by size](../bench/results/machine-a-ctc-size.svg)

[bench/results](../bench/results/README.md) has all that was measured, and how cost grows.
`, table)

	section, err = PerformanceSection([]results.File{machineA(), machineB()})
	require.NoError(t, err)
	assert.Contains(t, section, "measured on machine A (", "PyTorch is there")
	assert.Contains(t, section, "| work | machine A, AVX-512 | machine B, NEON |\n")

	section, err = PerformanceSection([]results.File{machineB()})
	require.NoError(t, err)
	assert.Contains(t, section, "|  | NEON |\n| --- | ---:|\n| log-sum-exp 10×100 | 3.00 µs |\n")
	assert.NotContains(t, section, "PyTorch")

	_, err = PerformanceSection(nil)
	assert.Error(t, err)
}

// Rows of scores that are not standard normal are explained where there are any.
func TestPeaked(t *testing.T) {
	f := machineA()
	peaked := slices.Clone(f.Works[1:2])
	peaked[0].Name = "CTC+grad peaked T80–120 N4 C60 S20–26, log-probabilities"
	f.Works = append(peaked, f.Works...)
	files := []results.File{f}
	section, err := PerformanceSection(files)
	require.NoError(t, err)
	assert.Contains(t, section, "\n| "+peaked[0].Name+" | 168 µs | 33.6 µs, 5.00× | 16.8 µs, 10.0× |\n| log-sum-exp 10×100 |")
	assert.Contains(t, section, rowsLegend+peakedLegend+"\n")
	section, err = ReadmeSection(files, []string{peaked[0].Name})
	require.NoError(t, err)
	assert.Contains(t, section, peakedLegend)
	section, err = ReadmeSection(files, []string{"log-sum-exp 10×100"})
	require.NoError(t, err)
	assert.NotContains(t, section, peakedLegend, "it is not shown")
	image := report(t, nil, f)["machine-a-peers.svg"]
	assert.Contains(t, image, ">CTC+grad peaked<")
	assert.Contains(t, image, ">T80–120 N4 C60 S20–26, log-probabilities<")
}

func TestRival(t *testing.T) {
	of := func(naive, torch float64) results.Work {
		return results.Work{Times: []results.Time{
			{Side: results.Naive, Workers: 1, Median: naive}, {Side: results.PyTorch, Workers: 1, Median: torch},
		}}
	}
	assert.Equal(t, results.Naive, rival(of(1, 2)))
	assert.Equal(t, results.PyTorch, rival(of(2, 1)))
	assert.Equal(t, results.Naive, rival(of(1, 0)), "no PyTorch")
	assert.Equal(t, results.PyTorch, rival(of(0, 1)), "no loop")
}

func TestReplace(t *testing.T) {
	readme := "# x\n\n" + begin + "\nold\n" + begin + end + "\nrest\n"
	replaced, err := Replace([]byte(readme), "new\n\n")
	require.NoError(t, err)
	assert.Equal(t, "# x\n\n"+begin+"\nnew\n"+end+"\nrest\n", string(replaced))
	again, err := Replace(replaced, "new")
	require.NoError(t, err)
	assert.Equal(t, replaced, again)

	for _, wrong := range []string{"", "x\n" + end, begin + "\nx", end + begin + "\n"} {
		_, err := Replace([]byte(wrong), "new")
		assert.ErrorContains(t, err, "no line", wrong)
	}
}
