"""Asks one page over mutual TLS, trusting the given CA alone."""
import ssl
import sys
import urllib.request

url, ca, cert, key = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.minimum_version = ssl.TLSVersion.TLSv1_3
context.load_cert_chain(cert, key)
with urllib.request.urlopen(url, context=context, timeout=20) as reply:
    if reply.status != 200 or not reply.read():
        sys.exit(f"status {reply.status}")
