package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"math/big"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const generated = "../../internal/fp/polynomials.go"

// arguments lie on both sides of the range reductions of exp and log.
var arguments = []float64{1e-9, 0.125, 0.3, 0.5, 0.75, 1, 1.5, 2, math.E, 10, 88.7, 700}

func relativeError(got, want *big.Float) float64 {
	e, _ := quo(sub(got, want), want).Float64()
	return math.Abs(e)
}

func TestBigAgreesWithMath(t *testing.T) {
	for _, x := range arguments {
		e, _ := exp(number(x)).Float64()
		assert.InEpsilon(t, math.Exp(x), e, 1e-15, "exp(%g)", x)
		e, _ = exp(number(-x)).Float64()
		assert.InEpsilon(t, math.Exp(-x), e, 1e-15, "exp(%g)", -x)
		l, _ := log(number(x)).Float64()
		assert.InDelta(t, math.Log(x), l, 1e-15*max(1, math.Abs(l)), "log(%g)", x)
	}
}

func TestBigIdentities(t *testing.T) {
	const bits200 = 0x1p-200
	assert.Zero(t, exp(number(0)).Cmp(number(1)))
	assert.Zero(t, log(number(1)).Sign())
	for _, v := range arguments {
		x := number(v)
		assert.Less(t, relativeError(log(exp(x)), x), bits200, "log(exp(%g))", v)
		assert.Less(t, relativeError(exp(log(x)), x), bits200, "exp(log(%g))", v)
		inverse := exp(number(-v))
		assert.Less(t, relativeError(mul(exp(x), inverse), number(1)), bits200, "exp(%g)·exp(-%[1]g)", v)
	}
}

// TestEquioscillation checks Chebyshev's criterion, that as many extrema as
// there are free coefficients and one more are equally high and alternate in
// sign, before any coefficient is rounded and after each of them is. Rounding
// them all must cost next to nothing.
func TestEquioscillation(t *testing.T) {
	for _, k := range kernels {
		f := k.start()
		f.solve()
		ideal := largest(f.residuals())
		for ; f.free < len(f.coeffs); f.free++ {
			f.solve()
			assertEquioscillates(t, f, k.prefix+strconv.Itoa(f.free))
			f.coeffs[f.free] = rounded(f.coeffs[f.free], k.bits)
		}
		assert.Less(t, largest(f.residuals())/ideal, 1.05, k.prefix)
	}
}

func assertEquioscillates(t *testing.T, f *fit, name string) {
	residuals := f.oriented(f.residuals())
	count := len(f.coeffs) - f.free + 1
	extrema := alternation(residuals, count)
	require.Len(t, extrema, count, name)
	for i, e := range extrema {
		assert.InEpsilon(t, largest(residuals), math.Abs(residuals[e]), 1e-9, name)
		if i > 0 {
			assert.NotEqual(t, math.Signbit(residuals[extrema[i-1]]), math.Signbit(residuals[e]), name)
		}
	}
}

func TestAlternationKeepsTheHighest(t *testing.T) {
	residuals := []float64{1, 2, -3, 0.5, -9, 4, 5, -1, 6}
	for count, want := range map[int][]int{
		7: {1, 2, 3, 4, 6, 7, 8},
		6: {2, 3, 4, 6, 7, 8},
		5: {1, 4, 6, 7, 8},
		4: {4, 6, 7, 8},
		3: {1, 4, 8},
		2: {4, 8},
	} {
		assert.Equal(t, want, alternation(residuals, count), "%d peaks", count)
	}
}

// emitted is what the generated file says: each constant, and the bound in the
// comment above it.
type emitted struct{ value, bound *big.Float }

func parseGenerated(t *testing.T) map[string]emitted {
	file, err := parser.ParseFile(token.NewFileSet(), generated, nil, parser.ParseComments)
	require.NoError(t, err)
	stated := regexp.MustCompile(`(?:≤|within) 2\^(-\d+\.\d)`)
	constants := map[string]emitted{}
	for _, decl := range file.Decls {
		group := decl.(*ast.GenDecl)
		match := stated.FindStringSubmatch(group.Doc.Text())
		require.NotNil(t, match, group.Doc.Text())
		exponent, err := strconv.ParseFloat(match[1], 64)
		require.NoError(t, err)
		for _, spec := range group.Specs {
			spec := spec.(*ast.ValueSpec)
			constants[spec.Names[0].Name] = emitted{literal(t, spec.Values[0]), number(math.Exp2(exponent))}
		}
	}
	return constants
}

func literal(t *testing.T, e ast.Expr) *big.Float {
	if minus, ok := e.(*ast.UnaryExpr); ok {
		return number(0).Neg(literal(t, minus.X))
	}
	value, ok := number(0).SetString(e.(*ast.BasicLit).Value)
	require.True(t, ok)
	return value
}

// TestEmittedPolynomials measures the constants in the file, on points that
// are not those of the fit, against the bounds beside them.
func TestEmittedPolynomials(t *testing.T) {
	const points = 3001
	constants := parseGenerated(t)
	for _, k := range kernels {
		coeffs := append([]*big.Float{}, k.given...)
		for i := len(k.given); i <= k.degree; i++ {
			c := constants[k.prefix+strconv.Itoa(i)]
			require.NotNil(t, c.value, "%s%d", k.prefix, i)
			require.Zero(t, c.value.Cmp(rounded(c.value, k.bits)), "%s%d has too many bits", k.prefix, i)
			coeffs = append(coeffs, c.value)
		}
		stated, _ := constants[k.prefix+strconv.Itoa(k.degree)].bound.Float64()
		var worst float64
		step := quo(sub(k.hi, k.lo), number(points-1))
		for i := range points {
			x := add(k.lo, mul(number(float64(i)), step))
			e, _ := quo(sub(horner(coeffs, x), k.want(x)), k.unit(x)).Float64()
			worst = max(worst, math.Abs(e))
		}
		assert.LessOrEqual(t, worst, stated, k.prefix)
		assert.Greater(t, worst, stated/math.Exp2(0.11), "%s: the bound is not tight", k.prefix)
	}
	assert.LessOrEqual(t, constants["expF64C11"].bound.Cmp(number(0x1p-57)), 0)
}

func TestEmittedReductions(t *testing.T) {
	constants := parseGenerated(t)
	for suffix, bits := range map[string]struct{ full, hi uint }{"F32": {24, 16}, "F64": {53, 32}} {
		log2e, hi, lo := constants["log2e"+suffix], constants["ln2Hi"+suffix], constants["ln2Lo"+suffix]
		assert.LessOrEqual(t, hi.value.MinPrec(), bits.hi)
		assert.LessOrEqual(t, lo.value.MinPrec(), bits.full)
		assert.LessOrEqual(t, log2e.value.MinPrec(), bits.full)
		assert.Less(t, relativeError(mul(log2e.value, ln2), number(1)), math.Exp2(-float64(bits.full)))
		rest := sub(sub(ln2, hi.value), lo.value)
		assert.LessOrEqual(t, magnitude(rest).Cmp(hi.bound), 0)
	}
}

func TestGeneratedFileIsCurrent(t *testing.T) {
	want, err := generate()
	require.NoError(t, err)
	got, err := os.ReadFile(generated)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
}
