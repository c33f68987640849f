//go:build purego || !(amd64 || arm64)

package tier

// assembly returns nothing: there are no kernels but those in plain Go.
func assembly() []Tier { return nil }
