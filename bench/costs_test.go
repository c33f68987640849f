package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Times that are made from two costs give these costs.
func TestCostModels(t *testing.T) {
	for _, m := range costModels() {
		const a, b = 12.5, 0.75
		var times [2]float64
		for i := range times {
			times[i] = a*m.x[i] + b*m.y[i]
		}
		gotA, gotB := m.solve(times)
		assert.InEpsilon(t, a, gotA, 1e-12, m.a)
		assert.InEpsilon(t, b, gotB, 1e-12, m.b)
	}
}
