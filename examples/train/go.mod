module github.com/gotrellis/trellis/examples/train

go 1.26.0

require (
	github.com/agnivade/levenshtein v1.2.2
	github.com/gotrellis/trellis v0.1.0
	github.com/schollz/progressbar/v3 v3.19.1
	github.com/stretchr/testify v1.12.1
	golang.org/x/image v0.46.0
	golang.org/x/term v0.47.0
	gonum.org/v1/gonum v0.17.0
	gonum.org/v1/plot v0.17.0
)
