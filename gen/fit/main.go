// Fit derives the constants of trellis's exp and log kernels and writes them
// as Go source. It takes nothing from tables: the functions come from their
// series and the coefficients from a Remez exchange, both in math/big.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"math"
	"math/big"
	"os"
	"strconv"
	"strings"
	"text/template"
)

func main() {
	out := flag.String("o", "polynomials.go", "write the generated source to `file`")
	flag.Parse()
	source, err := generate()
	if err == nil {
		err = os.WriteFile(*out, source, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fit:", err)
		os.Exit(1)
	}
}

// A kernel is a polynomial to fit: the function wanted on [lo, hi], the unit
// its error is measured in, and the leading coefficients that are given.
type kernel struct {
	doc        string
	prefix     string // of the coefficients' names
	bits       uint   // significant bits of a coefficient
	degree     int
	given      []*big.Float
	lo, hi     *big.Float
	want, unit func(x *big.Float) *big.Float
}

// widening is the factor by which intervals exceed the reduced range, for
// arguments that rounding in the reduction puts just outside it.
var widening = number(1 + 0x1p-10)

// expKernel fits exp(r) for |r| ≤ ln2/2 with its first two terms exact, so that
// a kernel can add 1 + r last and keep nearly all of r's precision.
func expKernel(prefix string, bits uint, degree int) kernel {
	hi := mul(scaled(ln2, -1), widening)
	return kernel{
		doc: fmt.Sprintf("exp(r) ≈ 1 + r + C2 r^2 + … + C%d r^%d for |r| ≤ ln2/2·(1+2^-10):\n"+
			"degree %d, relative error", degree, degree, degree),
		prefix: prefix, bits: bits, degree: degree,
		given: []*big.Float{number(1), number(1)},
		lo:    number(0).Neg(hi), hi: hi,
		want: exp, unit: exp,
	}
}

// logKernel fits R in log(1+f) = 2s + s·R(s²), s = f/(2+f), for 1+f between
// √½ and √2. R(0) is zero. The interval starts a hair above zero, where the
// quotient by s exists; the error falls to zero with s² there.
func logKernel() kernel {
	root := number(0).Sqrt(number(2))
	edge := quo(sub(root, number(1)), add(root, number(1)))
	hi := mul(mul(edge, edge), widening)
	return kernel{
		doc: "log(1+f) ≈ 2s + s·(C1 z + C2 z^2 + … + C7 z^7), s = f/(2+f), z = s²,\n" +
			"for √½ ≤ 1+f ≤ √2, z ≤ ((√2-1)/(√2+1))²·(1+2^-10): degree 7 in z,\nerror relative to 2s",
		prefix: "logC", bits: 53, degree: 7,
		given: []*big.Float{number(0)},
		lo:    scaled(hi, -20), hi: hi,
		want: func(z *big.Float) *big.Float {
			s := number(0).Sqrt(z)
			ratio := quo(add(number(1), s), sub(number(1), s))
			return sub(quo(log(ratio), s), number(2))
		},
		unit: func(*big.Float) *big.Float { return number(2) },
	}
}

// kernels are the polynomials to emit. Their degrees are the least with errors
// below a quarter of one rounding, 2^-24 in float32 and 2^-53 in float64.
var kernels = []kernel{
	expKernel("expF32C", 24, 6),
	expKernel("expF64C", 53, 11),
	logKernel(),
}

// start returns the fit of k with only the given coefficients settled. The
// number of samples is even to leave out the middle, where exp's free terms
// all vanish.
func (k kernel) start() *fit {
	const count = 2000
	f := &fit{coeffs: make([]*big.Float, k.degree+1), free: len(k.given)}
	copy(f.coeffs, k.given)
	for _, x := range spread(k.lo, k.hi, count) {
		f.samples = append(f.samples, sample{x, k.want(x), k.unit(x)})
	}
	return f
}

// A group is a block of constants under one comment.
type group struct {
	Doc    string
	Consts []constant
}

// Comment is the documentation as line comments.
func (g group) Comment() string {
	return "// " + strings.ReplaceAll(g.Doc, "\n", "\n// ")
}

type constant struct {
	Name  string
	Value float64
}

// Hex is the value exactly, with the exponent written the way people do.
func (c constant) Hex() string {
	text := strconv.FormatFloat(c.Value, 'x', -1, 64)
	return strings.NewReplacer("p+0", "p", "p-0", "p-").Replace(text)
}

func newConstant(name string, value *big.Float) constant {
	v, _ := value.Float64()
	return constant{name, v}
}

// group fits k and names its coefficients.
func (k kernel) group() group {
	f := k.start()
	f.solveRounded(k.bits)
	g := group{Doc: k.doc + " ≤ " + bound(largest(f.residuals())) + "."}
	for i := len(k.given); i <= k.degree; i++ {
		g.Consts = append(g.Consts, newConstant(k.prefix+strconv.Itoa(i), f.coeffs[i]))
	}
	return g
}

// bound returns e as a power of two, rounded up in the first decimal.
func bound(e float64) string {
	return fmt.Sprintf("2^%.1f", math.Ceil(math.Log2(e)*10)/10)
}

// reduction gives the constants that take x to r = x - n·ln2. ln2Hi has only
// hiBits significant bits to make n·ln2Hi exact for |n| < 2^(bits-hiBits).
func reduction(suffix string, bits, hiBits uint) group {
	hi := rounded(ln2, hiBits)
	lo := rounded(sub(ln2, hi), bits)
	rest, _ := sub(sub(ln2, hi), lo).Float64()
	return group{
		Doc: fmt.Sprintf("log2 e, and ln2 in two parts: n·ln2Hi%s is exact for |n| < 2^%d, and the\n"+
			"sum of the parts is within %s of ln2.", suffix, bits-hiBits, bound(math.Abs(rest))),
		Consts: []constant{
			newConstant("log2e"+suffix, rounded(quo(number(1), ln2), bits)),
			newConstant("ln2Hi"+suffix, hi),
			newConstant("ln2Lo"+suffix, lo),
		},
	}
}

var source = template.Must(template.New("").Parse(`// Code generated by gen/fit; DO NOT EDIT.

package fp

// The polynomials are minimax fits by the Remez exchange, with coefficients
// rounded one at a time. An error given is that of the rounded polynomial
// evaluated exactly; a kernel adds its own roundings to it.
{{range .}}
{{.Comment}}
const (
{{- range .Consts}}
	{{.Name}} = {{.Hex}} // {{.Value}}
{{- end}}
)
{{end}}`))

// generate returns the Go source of all constants.
func generate() ([]byte, error) {
	var text bytes.Buffer
	groups := []group{reduction("F32", 24, 16), reduction("F64", 53, 32)}
	for _, k := range kernels {
		groups = append(groups, k.group())
	}
	if err := source.Execute(&text, groups); err != nil {
		return nil, err
	}
	return format.Source(text.Bytes())
}
