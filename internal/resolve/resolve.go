// Package resolve says, on paper, which way a name takes through the DNS of
// an EKS cluster, and who answers it: the resolv.conf of the pod, the
// Corefile of CoreDNS, the resolver of the VPC with its firewall, rules and
// private zones. It is pure: it asks nobody, and reads no file and no
// environment variable of the machine that it runs on. What the facts do not
// tell is "cannot tell", never "no such name".
package resolve
