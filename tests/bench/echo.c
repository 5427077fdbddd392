/* The smallest stdio MCP server: what a benchmark of bridges needs of a child, and no more.
 *
 * It knows initialize, server/discover (both eras, side by side), ping, tools/list and tools/call. The tool `echo` answers a constant with the id of
 * the request spliced in; the tool `big` answers a text of 5 MiB. All the complete lines of one read are
 * answered with one write. Nothing is parsed but the envelope, so that the child costs next to nothing.
 *
 * usage: echo [FILE]      one byte is appended to FILE at the start, so that its size counts the spawns
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BIG_LINES 65536                       /* lines of 80 characters: 5 MiB */
#define BIG_LINE "The quick brown fox jumps over the lazy dog, then sits down to count to ninety.\\n"

#define INITIALIZED                                                                                          \
    "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{}},"                                   \
    "\"serverInfo\":{\"name\":\"bench-echo\",\"version\":\"1\"}}"
#define DISCOVERED                                                                                           \
    "{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{}}," \
    "\"ttlMs\":0,\"cacheScope\":\"private\"}"
#define TOOLS                                                                                                \
    "{\"tools\":[{\"name\":\"echo\",\"description\":\"A constant\",\"inputSchema\":{\"type\":\"object\"}}," \
    "{\"name\":\"big\",\"description\":\"5 MiB of text\",\"inputSchema\":{\"type\":\"object\"}}]}"
#define ECHOED "{\"content\":[{\"type\":\"text\",\"text\":\"hello from the child\"}]}"

typedef struct { const char *at; size_t size; } Slice;
typedef struct { char *at; size_t size, room; } Buffer;

static void append(Buffer *buffer, const char *at, size_t size) {
    if (buffer->size + size > buffer->room) {
        while (buffer->size + size > buffer->room) buffer->room = buffer->room ? buffer->room * 2 : 65536;
        if (!(buffer->at = realloc(buffer->at, buffer->room))) _exit(3);
    }
    memcpy(buffer->at + buffer->size, at, size);
    buffer->size += size;
}

#define APPEND(buffer, literal) append(buffer, literal, sizeof literal - 1)

static const char *after_string(const char *p, const char *end) {
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\') p++;
    return p < end ? p + 1 : end;
}

static const char *after_value(const char *p, const char *end) {
    for (int depth = 0; p < end;) {
        if (*p == '"') { p = after_string(p, end); if (!depth) return p; continue; }
        if (*p == '{' || *p == '[') depth++;
        if ((*p == '}' || *p == ']') && --depth <= 0) return depth ? p : p + 1;
        if (*p == ',' && !depth) return p;
        p++;
    }
    return end;
}

/* The value of one member of an object, looked for at its top level only. */
static Slice member(Slice object, const char *name) {
    const char *p = object.at, *end = p + object.size;
    if (p < end && *p == '{') p++;
    for (;;) {
        while (p < end && *p != '"' && *p != '}') p++;
        if (p >= end || *p == '}') return (Slice){0, 0};
        const char *key = p + 1;
        p = after_string(p, end);
        size_t size = p - key - 1;
        while (p < end && *p != ':') p++;
        p++;
        while (p < end && (*p == ' ' || *p == '\t')) p++;
        const char *value = p;
        p = after_value(p, end);
        if (size == strlen(name) && !memcmp(key, name, size)) return (Slice){value, p - value};
    }
}

static int is(Slice value, const char *literal) {
    return value.size == strlen(literal) && !memcmp(value.at, literal, value.size);
}

static void answer(Slice line, Buffer *out) {
    Slice id = member(line, "id"), method = member(line, "method");
    if (!id.size || !method.size) return;
    APPEND(out, "{\"jsonrpc\":\"2.0\",\"id\":");
    append(out, id.at, id.size);
    if (is(method, "\"tools/call\"")) {
        if (is(member(member(line, "params"), "name"), "\"big\"")) {
            APPEND(out, ",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"");
            for (int i = 0; i < BIG_LINES; i++) APPEND(out, BIG_LINE);
            APPEND(out, "\"}]}}\n");
        } else APPEND(out, ",\"result\":" ECHOED "}\n");
    } else if (is(method, "\"initialize\"")) APPEND(out, ",\"result\":" INITIALIZED "}\n");
    else if (is(method, "\"server/discover\"")) APPEND(out, ",\"result\":" DISCOVERED "}\n");
    else if (is(method, "\"tools/list\"")) APPEND(out, ",\"result\":" TOOLS "}\n");
    else if (is(method, "\"ping\"")) APPEND(out, ",\"result\":{}}\n");
    else APPEND(out, ",\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}\n");
}

static void flush(Buffer *out) {
    for (size_t done = 0; done < out->size;) {
        ssize_t n = write(1, out->at + done, out->size - done);
        if (n <= 0) _exit(0);
        done += n;
    }
    out->size = 0;
}

int main(int argc, char **argv) {
    if (argc > 1) {
        int log = open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0644);
        if (log >= 0) { if (write(log, ".", 1) < 0) return 3; close(log); }
    }
    static char chunk[65536];
    Buffer in = {0}, out = {0};
    for (ssize_t n; (n = read(0, chunk, sizeof chunk)) > 0;) {
        append(&in, chunk, n);
        char *start = in.at, *newline;
        while ((newline = memchr(start, '\n', in.at + in.size - start))) {
            answer((Slice){start, newline - start}, &out);
            start = newline + 1;
        }
        in.size -= start - in.at;
        memmove(in.at, start, in.size);
        flush(&out);
    }
    return 0;
}
