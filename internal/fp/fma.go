package fp

import "math"

// FMA32 returns x·y + z rounded once, as an FMA instruction does.
//
// The product of two float32 is exact in float64, so s is the exact result
// rounded to 53 bits, and rounding it again to 24 is wrong only if s lies
// half way between two float32: its low 29 bits say so, and where the result is
// subnormal more bits than these.
func FMA32(x, y, z float32) float32 {
	s := float64(x)*float64(y) + float64(z)
	if tie(s) == 0 || math.Abs(s) < 0x1p-126 {
		s = breakTie(s, float64(x)*float64(y), float64(z))
	}
	return float32(s)
}

// tie returns 0 if s is half way between two neighbouring float32.
func tie(s float64) uint64 { return math.Float64bits(s)<<35 ^ 1<<63 }

// breakTie rounds p + z, of which s is the nearest float64, to odd instead: if s
// is even and not exact it moves one ulp towards the exact sum, after which
// rounding to fewer bits goes to the right side. The rounding error of a sum is by
// Knuth's TwoSum.
func breakTie(s, p, z float64) float64 {
	v := s - p
	err := (p - (s - v)) + (z - v)
	if err == 0 || math.Float64bits(s)&1 == 1 {
		return s
	}
	return math.Nextafter(s, math.Copysign(math.Inf(1), err))
}

// AddProducts does sums[i&mask] += x[i]·y[i] for all x, rounded once.
func AddProducts[F Float](sums, x, y []F, mask int) {
	if IsFloat32[F]() {
		addProducts32(AsFloat32(sums), AsFloat32(x), AsFloat32(y), mask)
	} else {
		addProducts64(AsFloat64(sums), AsFloat64(x), AsFloat64(y), mask)
	}
}

// AddMultiples does sums[i] += x[i]·factor for all x, rounded once.
func AddMultiples[F Float](sums, x []F, factor F) {
	if IsFloat32[F]() {
		addMultiples32(AsFloat32(sums), AsFloat32(x), float32(factor))
	} else {
		addMultiples64(AsFloat64(sums), AsFloat64(x), float64(factor))
	}
}

func addProducts32(sums, x, y []float32, mask int) {
	y = y[:len(x)]
	for i, v := range x {
		z := &sums[i&mask]
		if s := float64(v)*float64(y[i]) + float64(*z); isRounded(s) {
			*z = float32(s)
		} else {
			*z = FMA32(v, y[i], *z)
		}
	}
}

func addMultiples32(sums, x []float32, factor float32) {
	sums = sums[:len(x)]
	for i, v := range x {
		if s := float64(v)*float64(factor) + float64(sums[i]); isRounded(s) {
			sums[i] = float32(s)
		} else {
			sums[i] = FMA32(v, factor, sums[i])
		}
	}
}

// isRounded reports whether FMA32 does no more than round s to float32.
func isRounded(s float64) bool {
	b := math.Float64bits(s)
	return b<<35 != 1<<63 && b<<1-1 >= (1023-126)<<53-1 // 0 is exact
}

// fmaOfSums is math.FMA made of sums and products.
//
// x·y = p + q exactly, by Dekker's product, and p + z = s + e by Knuth's TwoSum. Rounding e + q to t,
// and s + t once more, is wrong only if s + t is half way between two numbers, which addProduct finds
// out. A part of the product must not be subnormal; of an overflow comes NaN, which is not sure.
func fmaOfSums(x, y, z float64) float64 {
	p, q := product(x, y)
	if sum, isSure := addProduct(p, q, z); isSure && math.Abs(p) >= 0x1p-900 {
		return sum
	}
	return math.FMA(x, y, z)
}

// addProductsOfSums is addProducts64 made of sums and products.
func addProductsOfSums(sums, x, y []float64, mask int) {
	y = y[:len(x)]
	for i, v := range x {
		z := &sums[i&mask]
		p, q := product(v, y[i])
		if sum, isSure := addProduct(p, q, *z); isSure && math.Abs(p) >= 0x1p-900 {
			*z = sum
		} else {
			*z = math.FMA(v, y[i], *z)
		}
	}
}

// addMultiplesOfSums is addMultiples64 made of sums and products.
func addMultiplesOfSums(sums, x []float64, factor float64) {
	sums = sums[:len(x)]
	for i, v := range x {
		p, q := product(v, factor)
		if sum, isSure := addProduct(p, q, sums[i]); isSure && math.Abs(p) >= 0x1p-900 {
			sums[i] = sum
		} else {
			sums[i] = math.FMA(v, factor, sums[i])
		}
	}
}

// product returns x·y as the sum p + q, p being the product rounded. The others are exact.
func product(x, y float64) (p, q float64) {
	xu, yu := upper(x), upper(y)
	xl, yl := x-xu, y-yu
	p = float64(x * y)
	return p, xl*yl - (((p - xu*yu) - xl*yu) - xu*yl)
}

// upper returns the upper 26 bits of x, rounded, by Veltkamp: products of them and of what is left
// are exact.
func upper(x float64) float64 {
	c := float64(x * (1<<27 + 1))
	return c - (c - x)
}

// addProduct returns p + q + z, and whether it is surely rounded as it would be if done at once. w is
// what the last rounding leaves out, at most half an ulp: less, if a little more than w is lost, too.
func addProduct(p, q, z float64) (sum float64, isSure bool) {
	s := p + z
	v := s - p
	t := ((p - (s - v)) + (z - v)) + q
	sum = s + t
	w := t - (sum - s)
	return sum, sum+float64(w*(1+0x1p-50)) == sum
}
