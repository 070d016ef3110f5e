package orders;

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.jwk.source.RateLimitReachedException;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import java.net.MalformedURLException;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.security.oauth2.resource.OAuth2ResourceServerProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.authorization.AuthorityAuthorizationManager;
import org.springframework.security.authorization.AuthorizationManager;
import org.springframework.security.authorization.AuthorizationManagers;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2Error;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidatorResult;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtIssuerValidator;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.security.web.access.intercept.RequestAuthorizationContext;

/** Verifies access tokens locally. Printed by {@code mintgate gen-config spring-java}; put in your own package. */
@Configuration
public class MintgateSecurity {
    /** Claims without which a token is none of ours; Spring alone takes a token that never expires. */
    private static final Set<String> REQUIRED = Set.of("iss", "aud", "sub", "exp", "iat", "jti", "client_id");

    @Bean
    SecurityFilterChain api(HttpSecurity http, @Value("${mintgate.scope}") String scope) throws Exception {
        List<AuthorizationManager<RequestAuthorizationContext>> needed = Stream.of(scope.split(" "))
                .filter(one -> !one.isEmpty())
                .map(one -> AuthorityAuthorizationManager.<RequestAuthorizationContext>hasAuthority("SCOPE_" + one))
                .collect(Collectors.toList());
        return http.csrf(csrf -> csrf.disable()) // no cookies, so nothing to forge
                .sessionManagement(session -> session.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
                .oauth2ResourceServer(server -> server.jwt(Customizer.withDefaults()))
                .authorizeHttpRequests(requests -> {
                    if (needed.isEmpty()) {
                        requests.anyRequest().authenticated();
                    } else {
                        requests.anyRequest().access(AuthorizationManagers.allOf(needed.toArray(AuthorizationManager[]::new)));
                    }
                })
                .build();
    }

    @Bean
    JwtDecoder decoder(OAuth2ResourceServerProperties properties, @Value("${mintgate.typ}") String typ)
            throws MalformedURLException {
        OAuth2ResourceServerProperties.Jwt jwt = properties.getJwt();
        // Fetched once in five minutes, and again when a token names a key that is not there, but two times in five
        // seconds at most. While the issuer cannot be reached, the keys that are known serve for another day.
        JWKSource<SecurityContext> keys = JWKSourceBuilder
                .create(URI.create(jwt.getJwkSetUri()).toURL(), new DefaultResourceRetriever(5_000, 5_000))
                .cache(300_000, 5_000)
                .rateLimited(5_000)
                .outageTolerant(86_400_000)
                .build();
        Set<JWSAlgorithm> algorithms =
                jwt.getJwsAlgorithms().stream().map(JWSAlgorithm::parse).collect(Collectors.toSet());
        DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(algorithms, (selector, context) -> {
            try {
                return keys.get(selector, context);
            } catch (RateLimitReachedException error) {
                return List.of(); // one more invented key: a refusal, where Spring would throw
            }
        }));
        // RFC 9068 section 4: an ID token, or a list that the same issuer signed, is no access token.
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType(typ)));
        processor.setJWTClaimsSetVerifier((claims, context) -> { }); // the validators below do that

        OAuth2TokenValidator<Jwt> complete = token -> token.getClaims().keySet().containsAll(REQUIRED)
                ? OAuth2TokenValidatorResult.success()
                : OAuth2TokenValidatorResult.failure(new OAuth2Error("invalid_token", "a claim is missing", null));
        NimbusJwtDecoder decoder = new NimbusJwtDecoder(processor);
        decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(
                complete,
                new JwtTimestampValidator(Duration.ofSeconds(5)),
                new JwtIssuerValidator(jwt.getIssuerUri()),
                new JwtClaimValidator<List<String>>(
                        "aud", own -> own != null && jwt.getAudiences().stream().anyMatch(own::contains))));
        return decoder;
    }
}
