// Command bot is Hopwise: it diagnoses EKS networks from a Slack channel.
package main

func main() {}
