package main

import (
	"context"
	"io"
)

func (t *tool) align(ctx context.Context, out io.Writer, args []string) error { return nil }
