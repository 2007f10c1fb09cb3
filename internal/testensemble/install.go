package testensemble

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// debianJar is where Debian's package libzookeeper-java puts the server; its
// manifest names the other jars that it needs.
const debianJar = "/usr/share/java/zookeeper.jar"

// nettyJars are what TLS takes beyond those that debianJar's manifest names. Debian's packages
// of the others bring them; a jar that is not there does no harm in a class path.
const nettyJars = "/usr/share/java/netty-codec.jar:/usr/share/java/netty-resolver.jar:/usr/share/java/netty-transport-native-unix-common.jar"

// ErrNotInstalled says that this machine has no Java or no ZooKeeper.
var ErrNotInstalled = errors.New("ZooKeeper is not installed")

// installation is what it takes to start a server.
type installation struct {
	java      string
	classpath string
}

// findInstallation looks at $ZOOKEEPER_HOME first, then at Debian's place.
func findInstallation() (installation, error) {
	java, err := findJava()
	if err != nil {
		return installation{}, err
	}
	if home := os.Getenv("ZOOKEEPER_HOME"); home != "" {
		classpath, err := classpathUnder(home)
		return installation{java, classpath}, err
	}
	if _, err := os.Stat(debianJar); err != nil {
		return installation{}, fmt.Errorf("%w: there is no %s and ZOOKEEPER_HOME is not set; install the Debian package zookeeper, or unpack Apache ZooKeeper and set ZOOKEEPER_HOME to its directory", ErrNotInstalled, debianJar)
	}
	return installation{java, debianJar + string(os.PathListSeparator) + nettyJars}, nil
}

func findJava() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		return filepath.Join(home, "bin", "java"), nil
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("%w: there is no java in PATH and JAVA_HOME is not set; install the Debian package default-jre-headless", ErrNotInstalled)
	}
	return java, nil
}

// classpathUnder lists the jars of an unpacked release: in lib/, before 3.5 beside it.
func classpathUnder(home string) (string, error) {
	var jars []string
	for _, pattern := range []string{"lib/*.jar", "*.jar"} {
		found, err := filepath.Glob(filepath.Join(home, pattern))
		if err != nil {
			return "", fmt.Errorf("ZOOKEEPER_HOME %q: %w", home, err)
		}
		jars = append(jars, found...)
	}
	for _, jar := range jars {
		if strings.HasPrefix(filepath.Base(jar), "zookeeper-") {
			return strings.Join(jars, string(os.PathListSeparator)), nil
		}
	}
	return "", fmt.Errorf("%w: ZOOKEEPER_HOME is %q, and no zookeeper-*.jar is in it or in its lib", ErrNotInstalled, home)
}
