// What Spring AI and langchain4j do: java.net.http with its default version, HTTP/2, which it offers by Upgrade: h2c.
// java JavaClient.java URL TOKEN

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

class JavaClient {
    static final HttpClient CLIENT = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
    static String url, token, session = "";

    public static void main(String[] arguments) throws Exception {
        url = arguments[0] + "/mcp";
        token = arguments[1];
        var opened = post("initialize", "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-18\","
            + "\"capabilities\":{},\"clientInfo\":{\"name\":\"java\",\"version\":\"1\"}}}");
        if (opened.statusCode() != 200) {
            return;
        }
        session = opened.headers().firstValue("mcp-session-id").orElseThrow();
        say("call", "hello");
        say("large", "x".repeat(300_000));
    }

    static void say(String name, String text) throws Exception {
        var answer = post(name, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"message\":\"" + text + "\"}}}");
        if (!answer.body().contains(text)) {
            throw new IllegalStateException(answer.body());
        }
    }

    static HttpResponse<String> post(String name, String body) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(10))
            .header("Content-Type", "application/json").header("Accept", "application/json, text/event-stream");
        if (!token.isEmpty()) {
            request.header("Authorization", "Bearer " + token);
        }
        if (!session.isEmpty()) {
            request.header("Mcp-Session-Id", session);
        }
        var answer = CLIENT.send(request.POST(HttpRequest.BodyPublishers.ofString(body)).build(), HttpResponse.BodyHandlers.ofString());
        System.out.println(name + " " + answer.statusCode());
        return answer;
    }
}
