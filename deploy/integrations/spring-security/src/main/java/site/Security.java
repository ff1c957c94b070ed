package site;

import java.time.Duration;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.oauth2.client.RefreshTokenOAuth2AuthorizedClientProvider;
import org.springframework.security.oauth2.client.oidc.web.logout.OidcClientInitiatedLogoutSuccessHandler;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.DefaultOAuth2AuthorizationRequestResolver;
import org.springframework.security.oauth2.client.web.HttpSessionOAuth2AuthorizedClientRepository;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestCustomizers;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizedClientRepository;
import org.springframework.security.web.SecurityFilterChain;

@Configuration
class Security {
	@Bean
	SecurityFilterChain filters(HttpSecurity http, ClientRegistrationRepository registrations) throws Exception {
		// Spring uses PKCE by itself only where there is no secret.
		var signIn = new DefaultOAuth2AuthorizationRequestResolver(registrations, "/oauth2/authorization");
		signIn.setAuthorizationRequestCustomizer(OAuth2AuthorizationRequestCustomizers.withPkce());
		var signOut = new OidcClientInitiatedLogoutSuccessHandler(registrations); // at Passport too
		signOut.setPostLogoutRedirectUri("{baseUrl}/");
		return http
				.authorizeHttpRequests(pages -> pages.requestMatchers("/").permitAll().anyRequest().authenticated())
				.oauth2Login(login -> login.authorizationEndpoint(at -> at.authorizationRequestResolver(signIn)))
				.logout(logout -> logout.logoutSuccessHandler(signOut))
				// Passport says here that somebody signed out there: /logout/connect/back-channel/passport
				.oidcLogout(logout -> logout.backChannel(Customizer.withDefaults()))
				.build();
	}

	/** The tokens are the browser's session's and end with it; by default all browsers of a person share them. */
	@Bean
	OAuth2AuthorizedClientRepository tokens() {
		return new HttpSessionOAuth2AuthorizedClientRepository();
	}

	/** As a bean it tells Spring of what it gets, which then renews the OidcUser too. */
	@Bean
	RefreshTokenOAuth2AuthorizedClientProvider refreshing() {
		var refreshing = new RefreshTokenOAuth2AuthorizedClientProvider();
		// Every token expires within a year: the button always refreshes. Without this line only a token that is about
		// to expire is, which is what a site wants.
		refreshing.setClockSkew(Duration.ofDays(365));
		return refreshing;
	}
}
