package command

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdpinput "github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// browser is a headless Chromium with one page. It notes what goes wrong there.
type browser struct {
	ctx context.Context

	mutex    sync.Mutex
	problems []string // of the console
	requests []string
}

// newBrowser starts one, or skips the test where there is none.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	if !slices.ContainsFunc(names, func(name string) bool { _, err := exec.LookPath(name); return err == nil }) {
		t.Skip("no Chromium")
	}
	b := &browser{}
	options := []chromedp.ContextOption{chromedp.WithListener(b.hear)}
	if os.Getuid() == 0 { // whom Chromium refuses a sandbox
		options = append(options, chromedp.WithAllocatorOptions(chromedp.NoSandbox))
	}
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute) // of a browser that hangs
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx, options...)
	t.Cleanup(stop)
	b.ctx = ctx
	b.do(t, chromedp.EmulateViewport(1400, 1000))
	for _, enable := range []func() error{
		func() error { _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); return err },
		func() error { _, err := chromedp.Call(ctx, cdplog.Enable, chromedp.Void{}); return err },
		func() error { _, err := chromedp.Call(ctx, runtime.Enable, chromedp.Void{}); return err },
	} {
		require.NoError(t, enable())
	}
	return b
}

func (b *browser) hear(event any) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		b.problems = append(b.problems, fmt.Sprint("console: ", e.Type, e.Args))
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, fmt.Sprint("exception: ", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *cdplog.EventEntryAdded:
		b.problems = append(b.problems, "log: "+e.Entry.Text)
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

func (b *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	require.NoError(t, chromedp.Do(b.ctx, steps...))
}

// scheme sets which colours the user prefers.
func (b *browser) scheme(t *testing.T, name string) {
	t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	require.NoError(t, err)
	value[bool](t, b, fmt.Sprintf("(async () => { while (!matchMedia('(prefers-color-scheme: %s)').matches) await new Promise(requestAnimationFrame); return true; })()", name))
}

// open opens a page, and at the end of the test reports what it complained of and asked for.
func (b *browser) open(t *testing.T, file string) {
	t.Helper()
	b.problems, b.requests = nil, nil
	b.do(t, chromedp.Navigate("file://"+file))
	t.Cleanup(func() {
		b.mutex.Lock()
		defer b.mutex.Unlock()
		assert.Empty(t, b.problems)
		assert.Len(t, b.requests, 1, "the page itself")
	})
}

// value returns what an expression is in the page, once that has drawn.
func value[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](
		"new Promise(requestAnimationFrame).then(() => "+expression+")", chromedp.EvalAwaitPromise))
	require.NoError(t, err, expression)
	return v
}

// text returns the text of an element.
func (b *browser) text(t *testing.T, selector string) string {
	t.Helper()
	return value[string](t, b, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

func (b *browser) click(t *testing.T, selector string) {
	t.Helper()
	value[bool](t, b, fmt.Sprintf("(document.querySelector(%q).click(), true)", selector))
}

// plotBox returns where the plot of the emissions is: left, top, width and height.
func (b *browser) plotBox(t *testing.T) []float64 {
	t.Helper()
	return value[[]float64](t, b, "(r => [r.left, r.top, r.width, r.height])(document.querySelector('#chart .u-over').getBoundingClientRect())")
}

// shown is what is under the pointer in the lane of a class: the value, and whether the lane is drawn there in
// the colour of probability 1.
type shown struct {
	Value string
	Full  bool
}

// point moves the pointer down a line through the plot, at x, and returns what shows, by class.
func (b *browser) point(t *testing.T, x float64) map[string]shown {
	t.Helper()
	box := b.plotBox(t)
	b.do(t, chromedp.MouseEvent(cdpinput.DispatchMouseEventTypeMouseMoved, x, box[1]+1))
	return value[map[string]shown](t, b, fmt.Sprintf(`(() => {
		const over = document.querySelector("#chart .u-over"), box = over.getBoundingClientRect(), found = {};
		const canvas = document.querySelector("#chart canvas"), corner = canvas.getBoundingClientRect();
		const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
		copy.drawImage(canvas, 0, 0);
		for (let y = box.top + 1; y < box.bottom; y += 2) {
			over.dispatchEvent(new MouseEvent("mousemove", { clientX: %[1]g, clientY: y, movementY: 2, bubbles: true }));
			const shown = document.querySelector("#tip .value");
			if (!shown) continue;
			const lane = found[shown.querySelector("b").textContent] ??= { Value: shown.lastChild.textContent.trim(), Full: false };
			const [r, g, b, a] = copy.getImageData(%[1]g - corner.left, y - corner.top, 1, 1).data;
			lane.Full ||= a === 255 && (r << 16 | g << 8 | b) === 0x%[2]s;
		}
		return found;
	})()`, x, colours[heat][0][1:]))
}

// drag presses the button at one point and releases it at another.
func (b *browser) drag(t *testing.T, fromX, toX, y float64) {
	t.Helper()
	b.do(t,
		chromedp.MouseEvent(cdpinput.DispatchMouseEventTypeMouseMoved, fromX, y),
		chromedp.MouseEvent(cdpinput.DispatchMouseEventTypeMousePressed, fromX, y, chromedp.ButtonLeft, chromedp.ClickCount(1)),
		chromedp.MouseEvent(cdpinput.DispatchMouseEventTypeMouseMoved, (fromX+toX)/2, y, chromedp.ButtonLeft),
		chromedp.MouseEvent(cdpinput.DispatchMouseEventTypeMouseMoved, toX, y, chromedp.ButtonLeft),
		chromedp.MouseEvent(cdpinput.DispatchMouseEventTypeMouseReleased, toX, y, chromedp.ButtonLeft, chromedp.ClickCount(1)),
	)
}

// assertColumn points at all classes of a frame, which is at x, and compares what shows with the emissions.
func assertColumn(t *testing.T, b *browser, x float64, frame int, names map[string]int, probabilities []float64) {
	t.Helper()
	seen := b.point(t, x)
	full := 0
	assert.Contains(t, b.text(t, "#tip .when"), fmt.Sprintf("frame %d", frame))
	require.Greater(t, len(seen), 3)
	for name, at := range seen {
		class, ok := names[name]
		require.True(t, ok, name)
		want := "below 0.001"
		if probabilities[class] >= 0.001 {
			want = strconv.FormatFloat(math.Round(probabilities[class]*1e4)/1e4, 'f', 4, 64)
		}
		assert.Equal(t, want, at.Value, "frame %d, %s", frame, name)
		if at.Full {
			full++
			assert.Greater(t, probabilities[class], 0.99, "frame %d, %s", frame, name)
		}
	}
	assert.Equal(t, 1, full, "frame %d", frame)
}

// TestPageInBrowser uses pages as people do.
func TestPageInBrowser(t *testing.T) {
	b := newBrowser(t)
	t.Run("emissions", func(t *testing.T) { testEmissionsInBrowser(t, b) })
	t.Run("readings", func(t *testing.T) { testReadingsInBrowser(t, b) })
	t.Run("wicked", func(t *testing.T) { testWickedInBrowser(t, b) })
	t.Run("little", func(t *testing.T) { testLittleInBrowser(t, b) })
	t.Run("absent", func(t *testing.T) { testAbsentInBrowser(t, b) })
	t.Run("hour", func(t *testing.T) { testHourInBrowser(t, b) })
	t.Run("classes", func(t *testing.T) { testClassesInBrowser(t, b) })
}

// testEmissionsInBrowser zooms, and compares values under the pointer with the file.
func testEmissionsInBrowser(t *testing.T, b *browser) {
	rows := softmaxRows(t, line+"emissions.npy", 166, 60)
	name := writePage(t, lineArgs()...)
	_, p := readPage(t, name)
	names := map[string]int{}
	for class, name := range p.Names {
		names[name] = class
	}
	b.open(t, name)
	assert.Equal(t, "166 frames, score -5.735", b.text(t, "#summary"))
	assert.Equal(t, "Blanks\t8\t30\t-0.025\t1.000", b.text(t, "#rows tr"))

	box := b.plotBox(t)
	at := func(frame int) float64 { return box[0] + (float64(frame)+0.7)/166*box[2] }
	for _, frame := range []int{0, 42, 112, 165} {
		assertColumn(t, b, at(frame), frame, names, rows[frame])
	}

	// A drag zooms to these frames, a double click back.
	b.drag(t, box[0]+box[2]*40/166, box[0]+box[2]*80/166, box[1]+150)
	assert.Equal(t, "frames 40 to 80", b.text(t, "#summary"))
	box = b.plotBox(t)
	assertColumn(t, b, box[0]+box[2]*(6.8/40), 46, names, rows[46])
	b.do(t, chromedp.MouseClickXY(box[0]+100, box[1]+150), chromedp.MouseClickXY(box[0]+100, box[1]+150, chromedp.ClickCount(2)))
	assert.Contains(t, b.text(t, "#summary"), "166 frames")

	// So does a click on a word, with what is around it.
	b.click(t, "#rows tr:nth-child(4)")
	word := p.Sequences[0].Readings[0].Words
	margin := max(word.End[3]-word.Start[3], 15)
	assert.Equal(t, fmt.Sprintf("frames %d to %d", word.Start[3]-margin, word.End[3]+margin), b.text(t, "#summary"))
	assert.Equal(t, "equal", value[string](t, b, "[...document.querySelectorAll('tr.seen')].map(r => r.cells[0].innerText).find(w => w === 'equal') ?? ''"))
	b.do(t, chromedp.KeyEvent("0"))
	assert.Contains(t, b.text(t, "#summary"), "166 frames")

	// The least confident word first.
	b.click(t, "#columns th:last-child")
	confidence := word.Confidence
	assert.Equal(t, word.Texts[slices.Index(confidence, slices.Min(confidence))], b.text(t, "#rows tr td"))

	// The colours are those that the user prefers, also when that changes.
	for i, scheme := range []string{"light", "dark"} {
		b.scheme(t, scheme)
		assert.Greater(t, b.pixels(t, colours[heat][i]), 3000, scheme)
		assert.Greater(t, b.pixels(t, colours[trail][i]), 1000, scheme)
		assert.Zero(t, b.pixels(t, colours[heat][1-i]), scheme)
	}
	b.scheme(t, "light")
}

// pixels counts the pixels of the plot that have a colour.
func (b *browser) pixels(t *testing.T, colour string) int {
	t.Helper()
	return value[int](t, b, fmt.Sprintf(`(c => {
		const copy = new OffscreenCanvas(c.width, c.height).getContext("2d", { willReadFrequently: true });
		copy.drawImage(c, 0, 0);
		const d = copy.getImageData(0, 0, c.width, c.height).data, want = parseInt(%q, 16);
		let n = 0;
		for (let i = 0; i < d.length; i += 4) if (d[i + 3] === 255 && (d[i] << 16 | d[i + 1] << 8 | d[i + 2]) === want) n++;
		return n;
	})(document.querySelector("#chart canvas"))`, colour[1:]))
}

// testReadingsInBrowser goes through sequences and hypotheses.
func testReadingsInBrowser(t *testing.T, b *browser) {
	const batch = "../../../bench/emissions/batch/"
	b.open(t, writePage(t, "decode", batch+"emissions.npy", "-logits", "-batch_first", "-input_lengths", "152,148,110,148",
		"-tokens", batch+"tokens.txt", "-beam", "20", "-nbest", "4", "-frame", "10ms"))
	assert.Equal(t, "Roses climb the old trellis.", b.text(t, "#texts tr td"))
	assert.Equal(t, 4, value[int](t, b, "document.querySelectorAll('#texts tr').length"))
	assert.Equal(t, 4, value[int](t, b, "document.querySelectorAll('#sequence option').length"))
	b.click(t, "#next")
	b.click(t, "#next")
	assert.Contains(t, b.text(t, "#summary"), "110 frames, 1.10 s")
	assert.Equal(t, "seen", b.text(t, "#rows tr:nth-child(4) td"))
	second := b.text(t, "#texts tr:nth-child(2) td")
	b.click(t, "#texts tr:nth-child(2)")
	words := value[[]string](t, b, "[...document.querySelectorAll('#rows tr')].map(r => r.cells[0].innerText)")
	assert.Equal(t, strings.Fields(second), words)
	assert.NotEmpty(t, b.text(t, "#texts tr:nth-child(2) mark"))
}

// testWickedInBrowser shows tokens as they are.
func testWickedInBrowser(t *testing.T, b *browser) {
	b.open(t, wickedPage(t))
	assert.Equal(t, `a<b>"&'.npy`, b.text(t, "h1"))
	want := strings.NewReplacer("\u202e", "\ufffd", "\x01", "\u2401").Replace(strings.Join(wicked[1:9], ""))
	assert.Equal(t, want, value[string](t, b, "document.querySelector('#rows td').textContent"))
}

// testLittleInBrowser opens pages with nothing to show.
func testLittleInBrowser(t *testing.T, b *browser) {
	tokens := write(t, "tokens.txt", []byte("_\na\n|\n"))
	nan := math.NaN()
	for want, x := range map[string]string{
		"0 frames, score 0.000":                             writeFloat64s(t, nil, 0, 3),
		"1 frames, score -0.693":                            writeProbabilities(t, []float64{.5, .25, .25}, 1, 3),
		"2 frames, score NaN":                               writeFloat64s(t, []float64{nan, nan, nan, nan, nan, nan}, 2, 3),
		"(4,0,3), log-probabilities, blank 0: no sequences": writeFloat64s(t, nil, 4, 0, 3),
	} {
		t.Run(want, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "report.html")
			require.Equal(t, exitOK, run("decode", x, "-tokens", tokens, "-html", name).code)
			b.open(t, name)
			assert.Contains(t, b.text(t, "body"), want)
			if !strings.Contains(want, "no sequences") {
				box := b.plotBox(t)
				b.point(t, box[0]+box[2]/2)
				b.do(t, chromedp.KeyEvent("+"), chromedp.KeyEvent("-"))
			}
		})
	}
}

// testAbsentInBrowser points at classes that a page does not have in a frame: in the first one there are nine that are
// likely and that of the path, in the last ten that are likely.
func testAbsentInBrowser(t *testing.T, b *browser) {
	const classes = 12
	probabilities := slices.Repeat([]float64{1e-6}, 3*classes)
	for class := 1; class <= 9; class++ {
		probabilities[class] = 0.111
		probabilities[2*classes+class] = 0.1
	}
	probabilities[classes+10], probabilities[2*classes+10] = 1-11e-6, 0.1
	b.open(t, writePage(t, "align", writeProbabilities(t, probabilities, 3, classes), "-targets", "11,10"))
	box := b.plotBox(t)
	assert.Equal(t, "below 0.001", b.point(t, box[0]+box[2]/6)["10"].Value)
	assert.Equal(t, "at most 0.1000", b.point(t, box[0]+box[2]*5/6)["11"].Value)
}

// testHourInBrowser opens and zooms a long recording.
func testHourInBrowser(t *testing.T, b *browser) {
	x, tokens := hour(t)
	b.open(t, writePage(t, "decode", x, "-logits", "-tokens", tokens, "-frame", "20ms"))
	assert.Contains(t, b.text(t, "#summary"), "180000 frames, 1:00:00.00")
	assert.Less(t, value[int](t, b, "document.querySelectorAll('*').length"), 1000, "not all words are elements")
	b.click(t, "#columns th:nth-child(2)") // the last word first
	b.click(t, "#rows tr")
	assert.Contains(t, b.text(t, "#summary"), "to 1:00:00.000")
	b.click(t, "#in")
	box := b.plotBox(t)
	assert.NotEmpty(t, b.point(t, box[0]+box[2]/2)["blank"].Value)

	// A click in the strip above goes there, a drag zooms there.
	over := value[[]float64](t, b, "(r => [r.left, r.top, r.width, r.height])(document.querySelector('#overview .u-over').getBoundingClientRect())")
	b.do(t, chromedp.MouseClickXY(over[0]+over[2]/2, over[1]+over[3]/2))
	assert.Regexp(t, `^(29:5\d|30:0\d)\.\d* to 30:0`, b.text(t, "#summary"))
	b.drag(t, over[0]+over[2]*0.2, over[0]+over[2]*0.4, over[1]+over[3]/2)
	assert.Regexp(t, `^1[12]:\d\d\.\d* to 2[34]:\d\d`, b.text(t, "#summary"))
}

// testClassesInBrowser draws few of thousands of classes.
func testClassesInBrowser(t *testing.T, b *browser) {
	const frames, classes = 200, 5000
	scores := make([]float64, frames*classes)
	for frame := range frames {
		scores[frame*classes+(frame%2)*(1+frame*20)] = 20
	}
	b.open(t, writePage(t, "align", writeFloat64s(t, scores, frames, classes), "-logits", "-targets", "21,1001,3981"))
	assert.Contains(t, b.text(t, "#notes"), "more classes are probable here")
	box := b.plotBox(t)
	assert.Less(t, box[3], 800.0)
	assert.Less(t, len(b.point(t, box[0]+box[2]/2)), 50)
	b.click(t, "#rows tr:nth-child(2)")
	assert.NotContains(t, b.text(t, "#notes"), "more classes")
	lanes := b.point(t, box[0]+box[2]/2)
	assert.Contains(t, lanes, "1001")
	assert.Contains(t, lanes, "blank")
}
