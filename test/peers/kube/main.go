// Command kubectl is the real kubectl, built from its own module, for machines
// that have none on PATH. It is a module of its own so that the product does
// not depend on it.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
)

func main() {
	os.Exit(cli.Run(cmd.NewDefaultKubectlCommand()))
}
