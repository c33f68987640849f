module github.com/gotrellis/trellis/asm

go 1.26.0

require (
	github.com/mmcloughlin/avo v0.6.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/arch v0.32.0
	golang.org/x/sys v0.50.0
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
)

require golang.org/x/tools v0.52.0 // indirect; avo's own does not build with Go 1.25 and later

tool golang.org/x/tools/cmd/stringer
