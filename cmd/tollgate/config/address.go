package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens"
)

// readIssuer reads the URL of the built-in issuer (RFC 8414 section 2). A final
// slash would stand twice in the addresses below it.
func readIssuer(f *form, text, _ string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !validPort(u):
		return "", f.bad(text)
	case u.User != nil:
		return "", errors.New("a user stands in it; " + f.want)
	case strings.ContainsAny(text, "?#"):
		return "", fmt.Errorf("%s has a query or a fragment; write %s", show(text), show(text[:strings.IndexAny(text, "?#")]))
	case strings.HasSuffix(text, "/"):
		return "", fmt.Errorf("%s ends with a slash; write %s", show(text), show(strings.TrimRight(text, "/")))
	}
	return text, nil
}

func readKeyAddress(f *form, text, _ string) (string, error) {
	if tokens.CheckFetchURL(text) != nil {
		return "", f.bad(text)
	}
	return text, nil
}

func readOrigin(f *form, text, _ string) (string, error) {
	if text == "*" {
		return text, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && (u.Scheme != "http" || !tokens.IsLoopback(u.Hostname())) {
		return "", f.bad(text)
	}
	if u.Hostname() == "" || !validPort(u) || strings.Contains(u.Host, "*") {
		return "", f.bad(text)
	}
	if bare := u.Scheme + "://" + u.Host; !strings.EqualFold(bare, text) {
		return "", fmt.Errorf("%s has more than scheme, host and port; write %s", show(text), show(bare))
	}
	return strings.ToLower(text), nil
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.Atoi(u.Port())
	return err == nil && port <= 65535
}

// readFile makes the name absolute: the process may run in another folder than
// the one that the file was written for.
func readFile(_ *form, text, dir string) (string, error) {
	if filepath.IsAbs(text) {
		return filepath.Clean(text), nil
	}
	return filepath.Join(dir, text), nil
}

// readStore makes the file's name absolute. What is wrong is said without
// quoting the text: addresses of databases have passwords in them.
func readStore(f *form, text, dir string) (string, error) {
	scheme, file, _ := strings.Cut(text, ":")
	switch {
	case scheme == "postgres" || scheme == "postgresql":
		return "", errors.New("PostgreSQL is not supported yet; " + f.want)
	case scheme != "sqlite" || file == "":
		return "", f.bad(text)
	case file == ":memory:":
		return text, nil
	case strings.HasPrefix(file, ":") || strings.HasPrefix(file, "//"):
		return "", errors.New("the file's name follows the colon; write one like sqlite:data/tollgate.db or sqlite:/var/lib/tollgate/tollgate.db")
	case strings.ContainsAny(file, "?#"):
		return "", errors.New(`parameters are not supported; leave out what begins with "?" or "#"`)
	}
	file, err := readFile(f, file, dir)
	return "sqlite:" + file, err
}

// asStore is the store of a text that readStore has returned.
func asStore(text string) Store {
	if file := strings.TrimPrefix(text, "sqlite:"); file != ":memory:" {
		return Store{SQLite: file}
	}
	return Store{Memory: true}
}

// maxSocket is what the operating system takes as the path of a socket: sun_path
// of Linux has 108 bytes, one of them for the end.
const maxSocket = 107

func readSocket(f *form, text, dir string) (string, error) {
	path, isSocket := strings.CutPrefix(text, "unix:")
	if !isSocket {
		if _, _, ok := splitAddress(text); !ok {
			return "", f.bad(text)
		}
		return text, nil
	}
	if path == "" {
		return "", errors.New(`the path is missing after "unix:"; write one like unix:/run/tollgate.sock`)
	}
	path, err := readFile(f, path, dir)
	if len(path) > maxSocket {
		return "", fmt.Errorf("the socket's whole path has %d bytes; the system takes %d at most, choose a shorter one", len(path), maxSocket)
	}
	return "unix:" + path, err
}

func readAddress(f *form, text, _ string) (string, error) {
	if strings.HasPrefix(text, "unix:") {
		return "", errors.New("only listen.check can be a socket; " + f.want)
	}
	if _, _, ok := splitAddress(text); !ok {
		return "", f.bad(text)
	}
	return text, nil
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$`)
	whole    = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
)

// splitAddress reads host:port; an empty host stands for every address.
func splitAddress(text string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(text)
	if err != nil || !whole.MatchString(port) {
		return "", "", false
	}
	if n, err := strconv.Atoi(port); err != nil || n > 65535 {
		return "", "", false
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return host, port, true
	}
	// Digits and dots alone are an address with a slip in it.
	return host, port, hostName.MatchString(host) && strings.Trim(host, "0123456789.") != ""
}

// isEvery reports whether a listener on that host takes every address.
func isEvery(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.Unmap().IsUnspecified()
}
