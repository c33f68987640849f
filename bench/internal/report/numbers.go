package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// superscript writes an exponent.
func superscript(n int) string {
	return strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴",
		"5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹").Replace(strconv.Itoa(n))
}

// plain writes a number without an exponent.
func plain(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }

// power writes step·10^e, from 1 to 9 times a power, for an axis.
func power(step float64, e int) string {
	switch {
	case e >= -2 && e <= 3:
		return plain(step * math.Pow10(e))
	case step == 1:
		return "10" + superscript(e)
	}
	return plain(step) + "·10" + superscript(e)
}

// count writes a size: all of its digits if there are few, else two.
func count(x float64) string {
	if x < 1e5 {
		return plain(math.Round(x))
	}
	digits, exponent, _ := strings.Cut(fmt.Sprintf("%.1e", x), "e")
	e, _ := strconv.Atoi(exponent)
	if digits == "1.0" {
		return "10" + superscript(e)
	}
	return strings.TrimSuffix(digits, ".0") + "·10" + superscript(e)
}

// scientific writes a small number with two digits.
func scientific(x float64) string {
	digits, exponent, _ := strings.Cut(fmt.Sprintf("%.1e", x), "e")
	e, _ := strconv.Atoi(exponent)
	return digits + "·10" + superscript(e)
}
