# `make test` is all of it; CI calls it too. What this machine lacks (a C compiler
# for -race, qemu for arm64) is left out with a line that says so, and is an error
# in CI.

NESTED  := gen cmd/trellis
QEMU    := qemu-aarch64-static
FUZZ    ?= 3s
MISSING  = { echo "NOT RUN: $@ needs $(1)"; [ -z "$(CI)" ]; }

.PHONY: test quick race purego arm64 nested vet fuzz bench generate exhaustive

test: quick race purego arm64 nested vet fuzz

# The root module on this machine.
quick:
	go vet ./...
	go test ./...

race:
	@if [ "$$(go env CGO_ENABLED)" = 1 ]; then go test -race -short ./...; else $(call MISSING,cgo); fi

# The second line lets the compiler fuse x·y + z, which must not change a bit.
purego:
	go test -tags purego ./...
	GOAMD64=v3 go test -run TestGoldenBits .

# The same bits on another architecture.
arm64:
	@if command -v $(QEMU) >/dev/null; then GOARCH=arm64 go test -short -exec $(QEMU) ./...; else $(call MISSING,$(QEMU)); fi

nested:
	@for m in $(NESTED); do echo "$$m:" && (cd $$m && go vet ./... && go test ./...) || exit 1; done
	cd bench && go vet ./...

# One operating system for every architecture that Go builds for.
vet:
	@for p in $$({ go tool dist list | grep ^linux/; go tool dist list; } | awk -F/ '!seen[$$2]++'); do \
		echo "vet $$p" && GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 go vet ./... || exit 1; done

fuzz:
	@for f in $$(go test -list '^Fuzz' . | grep ^Fuzz); do go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ) . || exit 1; done

# Beside gonum and Gorgonia, which wants to be told that this Go is one it knows.
bench:
	cd bench && ASSUME_NO_MOVING_GC_UNSAFE_RISK_IT_WITH=$$(go env GOVERSION | cut -d. -f1,2) go test -bench . -count 5 ./...

generate:
	go generate ./...

# exp for all 2^32 float32: minutes.
exhaustive:
	TRELLIS_EXHAUSTIVE=1 go test -timeout 1h -v -run TestExp32 .
