package ctc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem"
)

// files reads files of all filesystems that the program imports. It keeps each filesystem that it has
// used, since one of a cloud begins with a connection.
type files struct {
	of map[string]filesystem.Interface // by the scheme, such as "gs"
}

func (f *files) open(ctx context.Context, name string) (io.ReadCloser, error) {
	scheme, _, _ := cutScheme(name)
	fs := f.of[scheme]
	if fs == nil {
		var err error
		// It outlives the lines that this context is of.
		if fs, err = filesystem.New(context.WithoutCancel(ctx), name); err != nil {
			return nil, err
		}
		if f.of == nil {
			f.of = map[string]filesystem.Interface{}
		}
		f.of[scheme] = fs
	}
	r, err := fs.OpenRead(ctx, name)
	if err != nil && !errors.As(err, new(*os.PathError)) {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return r, err
}

// read returns what is in a file. In parts, it would be many small requests.
func (f *files) read(ctx context.Context, name string) ([]byte, error) {
	if _, _, ok := cutScheme(name); !ok {
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: not a regular file", name) // a pipe or device may never end
		}
	}
	r, err := f.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Close closes the filesystems.
func (f *files) Close() error {
	var errs []error
	for _, fs := range f.of {
		errs = append(errs, fs.Close())
	}
	f.of = nil
	return errors.Join(errs...)
}

// inFolder returns the name of a file that is in a folder if it is not absolute.
func inFolder(folder, name string) string {
	if _, _, ok := cutScheme(name); ok || folder == "" || filepath.IsAbs(name) {
		return name
	}
	if scheme, rest, ok := cutScheme(folder); ok {
		return scheme + "://" + path.Join(rest, name)
	}
	return filepath.Join(folder, name)
}

// cutScheme divides "gs://bucket/name" at "://".
func cutScheme(name string) (scheme, rest string, ok bool) {
	if scheme, rest, ok = strings.Cut(name, "://"); ok && scheme != "" {
		return scheme, rest, true
	}
	return "", name, false
}
