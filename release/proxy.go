package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// proxy serves the modules of a tree as one version from files. The go command takes
// them from there with the environment env.
type proxy struct {
	dir     string
	tree    *tree
	version string
	env     []string
}

// newProxy returns a proxy that has no modules yet, in a directory of its own.
func newProxy(dir string, t *tree, version string) (*proxy, error) {
	if module.CanonicalVersion(version) != version {
		return nil, fmt.Errorf("%q is not a version such as v0.1.0", version)
	}
	if err := module.Check(t.root(), version); err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "env", "-json", "GOPROXY", "GOMODCACHE", "GONOSUMDB", "GOFLAGS")
	cmd.Dir = t.dir
	out, err := output(cmd)
	if err != nil {
		return nil, err
	}
	var usual struct{ GOPROXY, GOMODCACHE, GONOSUMDB, GOFLAGS string }
	if err := json.Unmarshal([]byte(out), &usual); err != nil {
		return nil, err
	}
	// What the checksum database has said stays in the usual cache: without that every
	// run would ask again.
	cache := filepath.Join(dir, "cache")
	if err := os.MkdirAll(filepath.Join(cache, "cache", "download"), 0o777); err != nil {
		return nil, err
	}
	sumdb := filepath.Join(usual.GOMODCACHE, "cache", "download", "sumdb")
	if err := os.MkdirAll(sumdb, 0o777); err != nil {
		return nil, err
	}
	if err := os.Symlink(sumdb, filepath.Join(cache, "cache", "download", "sumdb")); err != nil {
		return nil, err
	}
	return &proxy{dir, t, version, append(os.Environ(),
		"GOWORK=off",
		// In the usual module cache this version may be another tree's, so there is a
		// cache beside the proxy, and other modules come from what the usual one has
		// downloaded.
		"GOMODCACHE="+cache,
		"GOPROXY="+fileURL(filepath.Join(dir, "modules"))+","+fileURL(filepath.Join(usual.GOMODCACHE, "cache", "download"))+","+usual.GOPROXY,
		"GONOPROXY=none",
		"GONOSUMDB="+strings.TrimPrefix(usual.GONOSUMDB+","+t.root(), ","),
		// Packages are then compiled once, not once for each directory, and the cache
		// can be removed.
		"GOFLAGS="+strings.TrimPrefix(usual.GOFLAGS+" -trimpath -modcacherw", " "),
	)}, nil
}

func fileURL(dir string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

// goCommand runs the go command in dir with the proxy, and returns what it prints.
func (p *proxy) goCommand(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = dir, p.env
	return output(cmd)
}

// publish serves m as it is in the tree, and returns the size of its zip in bytes.
func (p *proxy) publish(m *goModule) (int64, error) {
	if err := p.tree.commit(); err != nil {
		return 0, err
	}
	v := module.Version{Path: m.path(), Version: p.version}
	escaped, err := module.EscapePath(v.Path)
	if err != nil {
		return 0, err
	}
	dir := filepath.Join(p.dir, "modules", escaped, "@v")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return 0, err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{v.Version, time.Now().UTC()})
	if err != nil {
		return 0, err
	}
	mod, err := os.ReadFile(filepath.Join(p.tree.dir, m.dir, "go.mod"))
	if err != nil {
		return 0, err
	}
	for name, data := range map[string][]byte{"list": []byte(v.Version + "\n"), v.Version + ".info": info, v.Version + ".mod": mod} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return 0, err
		}
	}
	f, err := os.Create(filepath.Join(dir, v.Version+".zip"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := zip.CreateFromVCS(f, v, p.tree.dir, "HEAD", strings.TrimPrefix(m.dir, ".")); err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	checked, err := zip.CheckZip(v, f.Name())
	if err != nil {
		return 0, err
	}
	if err := checked.Err(); err != nil {
		return 0, err
	}
	stat, err := os.Stat(f.Name())
	if err != nil {
		return 0, err
	}
	return stat.Size(), nil
}

// tidy runs go mod tidy for m in the tree. It leaves a go.sum without the modules of
// the tree, whose hashes nobody knows before they are released, and returns the whole.
func (p *proxy) tidy(m *goModule) (sums []byte, err error) {
	dir := filepath.Join(p.tree.dir, m.dir)
	name := filepath.Join(dir, "go.sum")
	if err := p.dropOwn(name); err != nil {
		return nil, err
	}
	if _, err := p.goCommand(dir, "mod", "tidy"); err != nil {
		return nil, err
	}
	if sums, err = readIfThere(name); err != nil {
		return nil, err
	}
	return sums, p.dropOwn(name)
}

// dropOwn removes the lines of the tree's modules from a go.sum, and a file that is
// empty then.
func (p *proxy) dropOwn(name string) error {
	sums, err := readIfThere(name)
	if sums == nil || err != nil {
		return err
	}
	var others []byte
	for line := range strings.Lines(string(sums)) {
		if path, _, _ := strings.Cut(line, " "); !p.tree.own(path) {
			others = append(others, line...)
		}
	}
	if others == nil {
		return os.Remove(name)
	}
	return os.WriteFile(name, others, 0o666)
}

// build builds the packages of m, which must have been published, for a module that
// requires it. The sums are those that m needs.
func (p *proxy) build(m *goModule, sums []byte) error {
	data, err := os.ReadFile(filepath.Join(p.tree.dir, m.dir, "go.mod"))
	if err != nil {
		return err
	}
	// The same modules as m requires, so that all sums are there.
	file, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return err
	}
	for _, t := range slices.Clone(file.Tool) {
		if err := file.DropTool(t.Path); err != nil {
			return err
		}
	}
	if err := file.AddModuleStmt("requires.invalid"); err != nil {
		return err
	}
	if err := file.AddRequire(m.path(), p.version); err != nil {
		return err
	}
	file.Cleanup()
	if data, err = file.Format(); err != nil {
		return err
	}
	dir := filepath.Join(p.dir, "requires", m.dir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), data, 0o666); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o666); err != nil {
		return err
	}
	list, err := p.goCommand(dir, "list", "-mod=mod", m.path()+"/...")
	if err != nil {
		return err
	}
	args := []string{"build", "-mod=mod", "-o", os.DevNull}
	for pkg := range strings.FieldsSeq(list) {
		// Nobody else can import those; the ones that others need are built with them.
		if !strings.Contains(pkg+"/", "/internal/") {
			args = append(args, pkg)
		}
	}
	if _, err := p.goCommand(dir, args...); err != nil {
		return fmt.Errorf("%s does not build where it is required: %w", m.path(), err)
	}
	return nil
}
