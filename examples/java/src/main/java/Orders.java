import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.BadJOSEException;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.text.ParseException;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executors;

/**
 * An API of one route that verifies access tokens by itself: GET /orders asks for a scope. The settings are what
 * {@code mintgate gen-config env} prints.
 */
public final class Orders {
    private static final String ISSUER = System.getenv("AUTH_ISSUER");
    private static final String AUDIENCE = System.getenv("AUTH_AUDIENCE");
    private static final String JWKS_URL = System.getenv("AUTH_JWKS_URL");
    private static final String ALGORITHM = System.getenv().getOrDefault("AUTH_ALGORITHM", "ES256");
    private static final String TYPE = System.getenv().getOrDefault("AUTH_TYP", "at+jwt");
    private static final String SCOPE = System.getenv().getOrDefault("AUTH_SCOPE", "");

    private final DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();

    private Orders(URL jwks) {
        // Fetched once in five minutes, and again when a token names a key that is not there, but two times in five
        // seconds at most. While the issuer cannot be reached, the keys that are known serve for another day.
        JWKSource<SecurityContext> keys = JWKSourceBuilder.create(jwks, new DefaultResourceRetriever(5_000, 5_000))
                .cache(300_000, 5_000)
                .rateLimited(5_000)
                .outageTolerant(86_400_000)
                .build();
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.parse(ALGORITHM), keys));
        // RFC 9068 section 4: an ID token, or a list that the same issuer signed, is no access token.
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType(TYPE)));
        DefaultJWTClaimsVerifier<SecurityContext> claims = new DefaultJWTClaimsVerifier<>(
                AUDIENCE,
                new JWTClaimsSet.Builder().issuer(ISSUER).build(),
                Set.of("sub", "exp", "iat", "jti", "client_id"));
        claims.setMaxClockSkew(5);
        processor.setJWTClaimsSetVerifier(claims);
    }

    private void handle(HttpExchange exchange) throws IOException {
        if (!exchange.getRequestURI().getPath().equals("/orders") || !exchange.getRequestMethod().equals("GET")) {
            answer(exchange, 404, null, "{\"error\":\"not_found\"}");
            return;
        }
        String header = exchange.getRequestHeaders().getFirst("Authorization");
        if (header == null || !header.regionMatches(true, 0, "Bearer ", 0, 7)) {
            answer(exchange, 401, "Bearer", "{}"); // RFC 6750 section 3.1: no error code
            return;
        }
        JWTClaimsSet claims;
        List<String> scope;
        try {
            claims = processor.process(header.substring(7), null);
            String held = claims.getStringClaim("scope");
            scope = held == null ? List.of() : Arrays.asList(held.split(" "));
        } catch (ParseException | BadJOSEException | com.nimbusds.jose.JOSEException error) {
            System.err.println("refused: " + error.getMessage()); // for us; the caller learns no more than the code
            answer(exchange, 401, "Bearer error=\"invalid_token\"", "{}");
            return;
        }
        if (!SCOPE.isEmpty() && !scope.containsAll(Arrays.asList(SCOPE.split(" ")))) {
            answer(exchange, 403, "Bearer error=\"insufficient_scope\", scope=\"" + SCOPE + "\"", "{}");
            return;
        }
        // A subject is an id without quotes; use a JSON library for anything richer.
        answer(exchange, 200, null,
                "{\"subject\":\"" + claims.getSubject() + "\",\"orders\":[{\"id\":1,\"item\":\"tea\"}]}");
    }

    private static void answer(HttpExchange exchange, int status, String challenge, String body) throws IOException {
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        if (challenge != null) {
            exchange.getResponseHeaders().set("WWW-Authenticate", challenge);
        }
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }

    public static void main(String[] args) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8000"));
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.createContext("/", new Orders(URI.create(JWKS_URL).toURL())::handle);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
        System.out.println("listening on http://127.0.0.1:" + server.getAddress().getPort());
    }
}
