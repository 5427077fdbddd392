"""Programs that reach for a URL as real servers do, each in its own way; what each prints is what came, or its error."""

PYTHON = """
import asyncio, sys
import aiohttp, httpx, requests, urllib.request

async def by_aiohttp(url, trust_env):
    async with aiohttp.ClientSession(trust_env=trust_env) as session, session.get(url) as answer:
        return await answer.text()

ways = {
    "urllib": lambda url: urllib.request.urlopen(url, timeout=10).read().decode(),
    "httpx": lambda url: httpx.get(url, timeout=10).text,
    "requests": lambda url: requests.get(url, timeout=10).text,
    "aiohttp": lambda url: asyncio.run(by_aiohttp(url, True)),
    "aiohttp without trust_env": lambda url: asyncio.run(by_aiohttp(url, False)),
}
for url in sys.argv[1:]:
    for name, way in ways.items():
        try:
            said = way(url)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        print(f"{name} {url} -> {said.splitlines()[0]}", flush=True)
"""
NODE = """
const { request } = await import('node:https');
const http = await import('node:http');
const ways = {
  fetch: async (url) => (await fetch(url)).text(),
  request: (url) => new Promise((good, bad) => (url.startsWith('https') ? request : http.request)(url, (answer) => {
    answer.setEncoding('utf8'); answer.on('data', good); answer.on('error', bad) }).on('error', bad).end()),
};
for (const url of process.argv.slice(2)) for (const [name, way] of Object.entries(ways)) {
  let said;
  try { said = await way(url); } catch (error) { for (said = ''; error; error = error.cause) said += `${error} `; }
  console.log(`${name} ${url} -> ${said.split('\\n')[0]}`);
}
process.exit(0);
"""
GO = """
package main

import ("fmt"; "io"; "net/http"; "os"; "strings")

func main() {
	for _, url := range os.Args[1:] {
		said := ""
		if answer, err := http.Get(url); err != nil { said = err.Error() } else { body, _ := io.ReadAll(answer.Body); said = string(body) }
		fmt.Println("go", url, "->", strings.SplitN(said, "\\n", 2)[0])
	}
}
"""
RAW = """
import socket, sys
for host, port in (("203.0.113.20", 443), ("203.0.113.53", 53), ("10.9.9.9", 443), ("127.1.0.2", 3128)):
    try:
        socket.create_connection((host, port), 3)
        print("raw", host, "-> connected")
    except OSError as error:
        print("raw", host, "->", error.strerror)
try:
    print("raw lookup ->", socket.getaddrinfo("tls.example.com", 443)[0][4])
except OSError as error:
    print("raw lookup -> no")
"""
