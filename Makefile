# `make test` is all of it; CI calls it too. What this machine lacks (a C compiler
# for -race, qemu for arm64) is left out with a line that says so, and is an error
# in CI.

NESTED  := asm gen cmd/trellis
QEMU    := qemu-aarch64-static
# A number of inputs: a time can end in the error that it is over.
FUZZ    ?= 20000x
KERNELS := TestKernel|TestPublicBetweenGuardPages
# The tiers whose kernels must have been tested on this machine: CI names all that it has.
TIERS   ?= generic
MISSING  = { echo "NOT RUN: $@ needs $(1)"; [ -z "$(CI)" ]; }

.PHONY: test quick lower race purego arm64 nested vet fuzz bench compare figures mca generate exhaustive

test: quick lower race purego arm64 nested vet fuzz

# The root module on this machine. Without a list of packages go test shows what a
# test prints: which tiers there were.
quick:
	go vet ./...
	TRELLIS_MUST_TEST="$(TIERS)" go test
	go test ./internal/...

# What is not tested on every tier anyway, on one below the best.
lower:
	TRELLIS_CPU=avx2 go test -count=1 -skip '$(KERNELS)|TestGoldenBits' .

# Assembly is invisible to the race detector: it is of no use where that is compared.
race:
	@if [ "$$(go env CGO_ENABLED)" = 1 ]; then go test -race -short -skip '$(KERNELS)' ./...; else $(call MISSING,cgo); fi

# The second line lets the compiler fuse x·y + z, which must not change a bit.
purego:
	go test -tags purego ./...
	GOAMD64=v3 go test -run TestGoldenBits .

# The same bits on another architecture.
arm64: export GOARCH := arm64
arm64:
	@if command -v $(QEMU) >/dev/null; then \
		TRELLIS_MUST_TEST="generic neon" go test -short -exec $(QEMU) && go test -exec $(QEMU) ./internal/... && \
		cd asm && go test -exec $(QEMU) ./...; else $(call MISSING,$(QEMU)); fi

nested:
	@for m in $(NESTED); do echo "$$m:" && (cd $$m && go vet ./... && go test ./...) || exit 1; done
	cd bench && go vet ./... && go test ./compare ./figures ./mca ./internal/...

# One operating system for every architecture that Go builds for.
vet:
	@for p in $$({ go tool dist list | grep ^linux/; go tool dist list; } | awk -F/ '!seen[$$2]++'); do \
		echo "vet $$p" && GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 go vet ./... || exit 1; done

fuzz:
	@for f in $$(go test -list '^Fuzz' . | grep ^Fuzz); do go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ) . || exit 1; done

# Beside gonum and Gorgonia, which wants to be told that this Go is one it knows.
bench:
	cd bench && ASSUME_NO_MOVING_GC_UNSAFE_RISK_IT_WITH=$$(go env GOVERSION | cut -d. -f1,2) go test -bench . -count 5 ./...

# Beside PyTorch, if a Python has it, gonum and a bare read of memory: three minutes.
compare:
	@go -C bench run ./compare

# The figures of docs/ctc.md; that of errors takes PyTorch.
figures:
	@go -C bench run ./figures

# Cycles per element of the inner loops, as llvm-mca's models have it.
mca:
	@go -C bench run ./mca

generate:
	go generate ./...
	@for m in $(NESTED); do (cd $$m && go generate ./...) || exit 1; done

# exp for all 2^32 float32, exp and log1p for many float64, on every tier: minutes.
exhaustive:
	TRELLIS_EXHAUSTIVE=1 go test -timeout 1h -v -run 'Exp32|TestKernelAccuracy' .
