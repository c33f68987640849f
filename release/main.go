// Command release checks that the modules of this repository can be released, and
// prints the commands that tag them:
//
//	go -C release run . -version v0.1.0
//
// It copies the tree, has the modules require each other at the version, and serves
// them from a module proxy of files. Against that proxy, without the workspace, every
// module must be tidy and build as it does for those who require it.
//
// With -tidy it keeps what go mod tidy wrote, instead of comparing.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	version := flag.String("version", "", "`version` of all modules (default: the one that they require of each other)")
	tidy := flag.Bool("tidy", false, "change go.mod, go.sum and go.work as go mod tidy and the version want it, and check nothing")
	except := flag.String("except", "", "with -tidy, leave the module in the folder `DIR` as it is")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	forgetRepository()
	if err := run(os.Stdout, ".", *version, *tidy, *except); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// run does so for the repository that dir lies in. An error that is a problem with
// the tree follows a list of them on w.
func run(w io.Writer, dir, version string, tidy bool, except string) error {
	temp, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	source, err := git(dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	t, err := copyTree(source, filepath.Join(temp, "tree"))
	if err != nil {
		return err
	}
	if version == "" {
		if version = t.required(); version == "" {
			return errors.New("no module requires another: -version is needed")
		}
	}
	p, err := newProxy(filepath.Join(temp, "proxy"), t, version)
	if err != nil {
		return err
	}
	if tidy {
		if err := t.require(version); err != nil {
			return err
		}
		for _, m := range t.modules {
			if m.dir == except {
				continue
			}
			if _, err := p.tidy(m); err != nil {
				return err
			}
			if _, err := p.publish(m); err != nil {
				return err
			}
		}
		return t.keep(w, source)
	}

	problems, err := checkRepository(source, t, version)
	if err != nil {
		return err
	}
	problems = append(problems, checkRequirements(t, version)...)
	more, err := checkModules(w, t, p)
	if err != nil {
		return err
	}
	if problems = append(problems, more...); len(problems) > 0 {
		for _, problem := range problems {
			fmt.Fprintln(w, problem)
		}
		return fmt.Errorf("%s cannot be tagged yet", version)
	}
	head, err := git(source, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nNothing is in the way of %s:\n\n", version)
	tags := t.tags(version)
	for _, tag := range tags {
		fmt.Fprintln(w, "  git tag", tag, head)
	}
	fmt.Fprintln(w, "  git push --atomic origin", strings.Join(tags, " "))
	return nil
}
